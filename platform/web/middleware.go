package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
)

// RequestIDHeader carries the id of a request in both directions.
const RequestIDHeader = "X-Request-Id"

// RequestID accepts a well-formed id from the client or makes one, echoes it,
// and puts it and the client's device into the context.
func RequestID() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			id := r.Header.Get(RequestIDHeader)
			if !wellFormedID(id) {
				id = uid.New(time.Now())
			}
			c.Response().Header().Set(RequestIDHeader, id)
			agent := r.UserAgent()
			ctx := identity.WithRequestID(r.Context(), id)
			ctx = identity.WithClient(ctx, identity.Client{IP: c.RealIP(), UserAgent: strings.ToValidUTF8(agent[:min(len(agent), 256)], "")})
			c.SetRequest(r.WithContext(ctx))
			return next(c)
		}
	}
}

func wellFormedID(id string) bool {
	if len(id) < 8 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// AccessLog turns the handler's error into the answer and writes one line per
// request: the route's pattern, never a query, a body or a credential.
func AccessLog(logger *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			client := c.Request().Context() // ends when the client leaves; those made from it end with their middleware
			if err := next(c); err != nil {
				c.Error(err)
			}
			logRequest(c, logger, time.Since(start), client.Err() != nil)
			return nil
		}
	}
}

func logRequest(c echo.Context, logger *slog.Logger, took time.Duration, clientLeft bool) {
	r := c.Request()
	status := c.Response().Status
	if clientLeft && !c.Response().Committed {
		status = StatusClientClosedRequest
	}
	level := slog.LevelInfo
	if isProbe(c.Path()) {
		level = slog.LevelDebug
	}
	logger.LogAttrs(r.Context(), level, "request",
		slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", status),
		slog.Float64("took_ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", c.Response().Size), slog.String("ip", c.RealIP()))
}

func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" || path == "/metrics" }

// Recover turns a panic into an Internal fault whose cause holds the stack.
func Recover() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				reason := recover()
				if reason == nil {
					return
				}
				if abort, ok := reason.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
					panic(reason)
				}
				err = fault.Wrap(fmt.Errorf("panic: %v\n%s", reason, debug.Stack()), fault.Internal, "internal",
					"Something went wrong on this server. Tell its operator the request_id.")
			}()
			return next(c)
		}
	}
}

// SecurityHeaders sets what keeps a browser strict with every answer. https
// says whether the public address is an https one.
func SecurityHeaders(https bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			header := c.Response().Header()
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("X-Frame-Options", "DENY")
			header.Set("Referrer-Policy", "no-referrer")
			header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
			header.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "+
				"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
			if https {
				header.Set("Strict-Transport-Security", "max-age=31536000")
			}
			return next(c)
		}
	}
}

// Authenticate checks a bearer credential and returns who sent it.
type Authenticate func(r *http.Request, credential string) (identity.Identity, error)

const credentialFaultKey = "web.credential_fault"

// Identify puts the caller into the context. A credential that is not valid is
// remembered and refused by RequireAccess where the route minds. Reading what is
// public does not depend on who asks, so nobody is asked who that is: it works
// while the accounts are out of reach.
func Identify(authenticate Authenticate) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			header := r.Header.Get(echo.HeaderAuthorization)
			if header == "" || publicRead(c) {
				return next(c)
			}
			scheme, credential, _ := strings.Cut(header, " ")
			if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(credential) == "" {
				c.Set(credentialFaultKey, fault.New(fault.Unauthenticated, "unsupported_credential",
					"Send the credential as 'Authorization: Bearer …'."))
				return next(c)
			}
			id, err := authenticate(r, strings.TrimSpace(credential))
			if err != nil {
				c.Set(credentialFaultKey, err)
				return next(c)
			}
			c.SetRequest(r.WithContext(identity.With(r.Context(), id)))
			return next(c)
		}
	}
}

func publicRead(c echo.Context) bool {
	route := RouteOf(c)
	return route != nil && route.Access == Public && route.Method == http.MethodGet
}

// RequireAccess enforces each route's Access level.
func RequireAccess() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			route := RouteOf(c)
			if route == nil || route.Access == Public {
				return next(c)
			}
			if refused, ok := c.Get(credentialFaultKey).(error); ok {
				return refused
			}
			id := identity.From(c.Request().Context())
			switch {
			case route.Access == Optional:
				return next(c)
			case id.Anonymous():
				return identity.SignInRequired()
			case route.Access == AdminOnly && !id.Admin():
				return fault.New(fault.Forbidden, "admin_only", "Only an administrator may do this.")
			}
			return next(c)
		}
	}
}
