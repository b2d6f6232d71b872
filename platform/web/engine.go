package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// NewEcho returns the engine with our error handling. The client's address is
// that of the connection, or, when it comes from one of the trusted proxies, the
// last one in X-Forwarded-For that is not.
func NewEcho(logger *slog.Logger, trustedProxies []netip.Prefix) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = ErrorHandler(logger)
	e.Pre(trimSlash)
	e.IPExtractor = echo.ExtractIPDirect()
	if len(trustedProxies) > 0 {
		trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
		for _, prefix := range trustedProxies {
			trust = append(trust, echo.TrustIPRange(&net.IPNet{
				IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
			}))
		}
		e.IPExtractor = echo.ExtractIPFromXFFHeader(trust...)
	}
	return e
}

// CORS lets pages of exactly these origins call the API. Without origins no
// other page may.
func CORS(origins []string) echo.MiddlewareFunc {
	if len(origins) == 0 {
		return func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	}
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOrigins:  origins,
		AllowMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowHeaders:  append([]string{"Authorization", "Content-Type", "Idempotency-Key", RequestIDHeader}, sdkHeaders...),
		ExposeHeaders: []string{RequestIDHeader, "Retry-After", "RateLimit", "RateLimit-Policy", "Location", RetriesHeader},
		MaxAge:        600,
	})
}

// sdkHeaders are what OpenAI's SDKs send from a browser; all are ignored.
var sdkHeaders = []string{
	"OpenAI-Organization", "OpenAI-Project", "X-Stainless-Arch", "X-Stainless-Lang", "X-Stainless-OS", "X-Stainless-Package-Version",
	"X-Stainless-Retry-Count", "X-Stainless-Runtime", "X-Stainless-Runtime-Version", "X-Stainless-Timeout",
}

// Guard runs check before the handler of every known route; its error is the
// answer.
func Guard(check func(ctx context.Context, route *Route) error) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if route := RouteOf(c); route != nil {
				if err := check(c.Request().Context(), route); err != nil {
					return err
				}
			}
			return next(c)
		}
	}
}

// ParsePrefixes reads addresses and CIDR ranges.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				return nil, fmt.Errorf("%q is neither an IP address nor a range such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}
