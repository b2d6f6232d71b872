package ratelimit_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"llmhist/platform/identity"
	"llmhist/platform/ratelimit"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

type nothing struct{}

// limited returns a handler with one request per minute on a public and on an
// optional route. The bearer credential is the user's id.
func limited(t *testing.T) http.Handler {
	t.Helper()
	e := web.NewEcho(testkit.Logger(), []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")})
	router := web.NewRouter(e)
	rules := ratelimit.Rules{"one": {Requests: 1, Window: time.Minute}}
	e.Use(web.Identify(func(_ *http.Request, credential string) (identity.Identity, error) {
		id, err := strconv.ParseInt(credential, 10, 64)
		return identity.Identity{UserID: id, Role: identity.RoleUser}, err
	}), ratelimit.Middleware(ratelimit.NewLocal(testkit.NewClock().Now), rules, slog.New(slog.DiscardHandler)))
	answer := web.JSON(http.StatusOK, func(context.Context, nothing) (nothing, error) { return nothing{}, nil })
	router.Add(
		web.Route{Method: http.MethodPost, Path: "/public", Access: web.Public, Limit: "one", Handler: answer},
		web.Route{Method: http.MethodPost, Path: "/optional", Access: web.Optional, Limit: "one", Handler: answer},
	)
	return e
}

func TestWhoSharesALimit(t *testing.T) {
	type call struct{ path, user, address string }
	for name, test := range map[string]struct {
		first, second call
		shared        bool
	}{
		"two users behind one address do not":     {call{"/optional", "1", "198.51.100.1"}, call{"/optional", "2", "198.51.100.1"}, false},
		"one user at two addresses does":          {call{"/optional", "1", "198.51.100.1"}, call{"/optional", "1", "198.51.100.2"}, true},
		"an account is no way round a public one": {call{"/public", "1", "198.51.100.1"}, call{"/public", "2", "198.51.100.1"}, true},
		"two addresses do not":                    {call{"/public", "", "198.51.100.1"}, call{"/public", "", "198.51.100.2"}, false},
		"one IPv6 network does":                   {call{"/public", "", "2001:db8::1"}, call{"/public", "", "2001:db8::ffff:2"}, true},
		"two IPv6 networks do not":                {call{"/public", "", "2001:db8:0:1::1"}, call{"/public", "", "2001:db8:0:2::1"}, false},
		"a forged hop before the proxy's does":    {call{"/public", "", "203.0.113.7, 198.51.100.1"}, call{"/public", "", "203.0.113.8, 198.51.100.1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			handler := limited(t)
			do := func(c call) int {
				request := httptest.NewRequest("POST", c.path, nil)
				request.RemoteAddr = "192.0.2.1:1234"
				request.Header.Set("X-Forwarded-For", c.address)
				if c.user != "" {
					request.Header.Set("Authorization", "Bearer "+c.user)
				}
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				return recorder.Code
			}
			if status := do(test.first); status != http.StatusOK {
				t.Fatalf("the first got %d", status)
			}
			if refused := do(test.second) == http.StatusTooManyRequests; refused != test.shared {
				t.Errorf("refused: %v, want %v", refused, test.shared)
			}
		})
	}
}
