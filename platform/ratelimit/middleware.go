package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

// Rules maps the Limit names of routes to rules. A name followed by
// "_anonymous" is the rule for callers who are not signed in, where it differs.
type Rules map[string]Rule

// Middleware applies the rule of each route per user, or per client address
// for callers who are not signed in. Public routes, such as signing in and
// signing up, always count per address: an account must not be a way to more
// accounts or more guesses. When the count is unknown, requests go on.
func Middleware(limiter Limiter, rules Rules, logger *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if route := web.RouteOf(c); route != nil && route.Limit != "" {
				if err := admit(c, route, limiter, rules, logger); err != nil {
					return err
				}
			}
			return next(c)
		}
	}
}

// admit counts a request, or refuses it.
func admit(c echo.Context, route *web.Route, limiter Limiter, rules Rules, logger *slog.Logger) error {
	ctx := c.Request().Context()
	name, key := whose(caller(ctx, route), c.RealIP(), route.Limit, rules)
	rule := rules[name]
	if rule.Off() {
		return nil
	}
	decision, err := limiter.Take(ctx, name+"|"+key, rule)
	if err != nil {
		logger.WarnContext(ctx, "rate limit not counted", "limit", name, "cause", err)
		return nil
	}
	setHeaders(c, name, rule, decision)
	if !decision.Allowed {
		return &fault.Error{
			Kind: fault.RateLimited, Code: "rate_limited", RetryAfter: decision.RetryAfter,
			Detail: fmt.Sprintf("Only %s are allowed here. Try again in %d seconds.", sayRule(rule), seconds(decision.RetryAfter)),
		}
	}
	return nil
}

func caller(ctx context.Context, route *web.Route) identity.Identity {
	if route.Access == web.Public {
		return identity.Identity{}
	}
	return identity.From(ctx)
}

func whose(id identity.Identity, address, limit string, rules Rules) (name, key string) {
	if !id.Anonymous() {
		return limit, "user " + strconv.FormatInt(id.UserID, 10)
	}
	if _, differs := rules[limit+"_anonymous"]; differs {
		limit += "_anonymous"
	}
	return limit, "address " + network(address)
}

// network returns the IPv6 network of 64 bits that an address is in: one
// customer has all of it. An IPv4 address stands for itself.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, _ := ip.WithZone("").Prefix(64) // 64 bits fit every IPv6 address
	return prefix.String()
}

// setHeaders writes the fields of the IETF draft "RateLimit header fields for
// HTTP".
func setHeaders(c echo.Context, name string, rule Rule, d Decision) {
	header := c.Response().Header()
	header.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", name, rule.Requests, int(rule.Window.Seconds())))
	header.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", name, d.Remaining, seconds(d.Reset)))
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func sayRule(rule Rule) string {
	return fmt.Sprintf("%d requests per %s", rule.Requests, map[time.Duration]string{
		time.Second: "second", time.Minute: "minute", time.Hour: "hour", 24 * time.Hour: "day",
	}[rule.Window])
}
