package auth

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestRegistration(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	h.member("taken@example.org")
	long := strings.Repeat("x", 1025)
	for name, test := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"a new account":                    {map[string]string{"email": "a@example.org", "password": goodPassword, "name": "Ann 🦊"}, 201, ""},
		"an address in Unicode":            {map[string]string{"email": "jörg@example.org", "password": "12345678"}, 201, ""},
		"the longest password":             {map[string]string{"email": "b@example.org", "password": long[:1024]}, 201, ""},
		"an address that is taken":         {map[string]string{"email": "taken@example.org", "password": goodPassword}, 409, "email_taken"},
		"taken in another spelling":        {map[string]string{"email": "  TAKEN@Example.ORG ", "password": goodPassword}, 409, "email_taken"},
		"a short password":                 {map[string]string{"email": "c@example.org", "password": "1234567"}, 422, "validation_failed"},
		"a long password":                  {map[string]string{"email": "c@example.org", "password": long}, 422, "validation_failed"},
		"a display name":                   {map[string]string{"email": "Ann <c@example.org>", "password": goodPassword}, 422, "validation_failed"},
		"no address":                       {map[string]string{"password": goodPassword}, 422, "validation_failed"},
		"a name that is too long":          {map[string]string{"email": "c@example.org", "password": goodPassword, "name": strings.Repeat("ä", 101)}, 422, "validation_failed"},
		"a name with a line break":         {map[string]string{"email": "c@example.org", "password": goodPassword, "name": "a\nb"}, 422, "validation_failed"},
		"an unknown field":                 {map[string]string{"email": "c@example.org", "password": goodPassword, "role": "admin"}, 422, "validation_failed"},
		"a body that is not JSON":          {"{", 400, "malformed_json"},
		"a body that is larger than 16 KB": {map[string]string{"email": strings.Repeat("c", 17<<10)}, 413, "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := h.want(test.status, test.code, "POST", "/auth/register", "", test.body)
			if test.status == 201 && (answer.JSON(t)["id"] == nil || answer.JSON(t)["created_at"] == nil) {
				t.Errorf("incomplete: %s", answer.Body)
			}
		})
	}
}

func TestRegistrationCanBeClosed(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t), func(c *Config, _ *Deps) { c.Registration = false })
	h.want(403, "registration_closed", "POST", "/auth/register", "", map[string]string{"email": "a@example.org", "password": goodPassword})
	if _, err := h.CreateAdmin(t.Context(), "boss@example.org", goodPassword, ""); err != nil {
		t.Fatalf("the operator can still make accounts: %v", err)
	}
}

func TestTheFirstToSignUpIsNoAdministrator(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	first := h.member("first@example.org")
	h.want(403, "admin_only", "GET", "/admin/users", first.access, nil)
}

func TestLogin(t *testing.T) {
	testkit.EachDatabase(t, nilTest(func(h *house) {
		h.member("ann@example.org")
		answer := h.want(200, "", "POST", "/auth/login", "", map[string]string{"email": " ANN@example.org", "password": goodPassword})
		body := answer.JSON(h.t)
		user := body["user"].(map[string]any)
		if body["expiresIn"] != 900.0 || user["email"] != "ann@example.org" || user["role"] != "user" {
			h.t.Errorf("got %s", answer.Body)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			h.t.Errorf("Cache-Control %q", got)
		}
		for _, pair := range [][2]string{
			{"ann@example.org", "wrong password"}, {"nobody@example.org", goodPassword}, {"not an address", goodPassword},
			{"ann@example.org", strings.Repeat("x", 5000)},
		} {
			h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": pair[0], "password": pair[1]})
		}
		for _, incomplete := range []string{`{}`, `{"email":"ann@example.org"}`, `{"password":"` + goodPassword + `"}`, `{"email":null,"password":""}`} {
			h.want(422, "validation_failed", "POST", "/auth/login", "", incomplete)
		}
	}))
}

// nilTest runs a test with a house of default settings.
func nilTest(test func(h *house)) func(*testing.T, *database.DB) {
	return func(t *testing.T, db *database.DB) { test(openHouse(t, db)) }
}

func TestRefreshRotates(t *testing.T) {
	testkit.EachDatabase(t, nilTest(func(h *house) {
		first := h.member("ann@example.org")
		h.clock.Advance(20 * time.Minute)
		h.want(401, "token_expired", "GET", "/users/me", first.access, nil)
		second := deviceOf(h.t, h.want(200, "", "POST", "/auth/refresh", "", map[string]string{"refreshToken": first.refresh}))
		if second.refresh == first.refresh || second.access == first.access {
			h.t.Fatal("nothing was replaced")
		}
		h.want(200, "", "GET", "/users/me", second.access, nil)

		h.want(401, "refresh_token_reused", "POST", "/auth/refresh", "", map[string]string{"refreshToken": first.refresh})
		h.want(401, "session_revoked", "GET", "/users/me", second.access, nil)
		h.want(401, "session_revoked", "POST", "/auth/refresh", "", map[string]string{"refreshToken": second.refresh})
	}))
}

func TestReuseOfAnyEarlierTokenEndsTheSession(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	first := h.member("ann@example.org")
	device := first
	for range 20 {
		h.clock.Advance(24 * time.Hour)
		device = deviceOf(t, h.want(200, "", "POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh}))
	}
	h.want(200, "", "GET", "/users/me", device.access, nil)
	h.clock.Advance(20 * 24 * time.Hour) // the first token alone would have expired by now
	h.want(401, "refresh_token_reused", "POST", "/auth/refresh", "", map[string]string{"refreshToken": first.refresh})
	h.want(401, "session_revoked", "POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh})
}

func TestRefreshRefuses(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	device := h.member("ann@example.org")
	for name, token := range map[string]string{
		"an access token": device.access, "an unknown token": newRefreshToken().whole,
		"a cut token": device.refresh[:len(device.refresh)-1], "a changed prefix": "llmx_" + device.refresh[5:],
	} {
		t.Run(name, func(t *testing.T) {
			h.want(401, "invalid_refresh_token", "POST", "/auth/refresh", "", map[string]string{"refreshToken": token})
		})
	}
	for _, nothing := range []string{`{}`, `{"refreshToken":""}`} {
		h.want(422, "validation_failed", "POST", "/auth/refresh", "", nothing)
	}
	h.clock.Advance(30*24*time.Hour - time.Millisecond)
	device = deviceOf(t, h.want(200, "", "POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh}))
	h.clock.Advance(30 * 24 * time.Hour)
	for range 2 {
		h.want(401, "refresh_token_expired", "POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh})
	}
}

func TestOneOfManyConcurrentRefreshesWins(t *testing.T) {
	testkit.EachDatabase(t, nilTest(func(h *house) {
		device := h.member("ann@example.org")
		var mu sync.Mutex
		codes := map[string]int{}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				answer := h.do("POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh})
				mu.Lock()
				defer mu.Unlock()
				codes[answer.Code()]++
			})
		}
		wg.Wait()
		if codes[""] != 1 || codes["refresh_token_reused"] != 19 {
			h.t.Fatalf("got %v", codes)
		}
	}))
}

func TestLogout(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	h.member("ann@example.org")
	newDevice := func() signedIn { return h.login("ann@example.org", goodPassword) }
	t.Run("by refresh token ends access at once", func(t *testing.T) {
		device := newDevice()
		h.want(200, "", "GET", "/users/me", device.access, nil)
		h.want(204, "", "POST", "/auth/logout", "", map[string]string{"refreshToken": device.refresh})
		h.want(401, "session_revoked", "GET", "/users/me", device.access, nil)
		h.want(401, "session_revoked", "POST", "/auth/refresh", "", map[string]string{"refreshToken": device.refresh})
		h.want(204, "", "POST", "/auth/logout", "", map[string]string{"refreshToken": device.refresh})
	})
	t.Run("by access token", func(t *testing.T) {
		device := newDevice()
		h.want(204, "", "POST", "/auth/logout", device.access, nil)
		h.want(401, "session_revoked", "GET", "/users/me", device.access, nil)
	})
	t.Run("by both ends both", func(t *testing.T) {
		one, two := newDevice(), newDevice()
		h.want(204, "", "POST", "/auth/logout", one.access, map[string]string{"refreshToken": two.refresh})
		h.want(401, "session_revoked", "GET", "/users/me", one.access, nil)
		h.want(401, "session_revoked", "GET", "/users/me", two.access, nil)
	})
	t.Run("of an unknown token is fine", func(t *testing.T) {
		h.want(204, "", "POST", "/auth/logout", "", map[string]string{"refreshToken": "llmr_unknown"})
		h.want(204, "", "POST", "/auth/logout", "", map[string]string{"refreshToken": newRefreshToken().whole})
	})
	t.Run("without anything is not", func(t *testing.T) {
		h.want(401, "authentication_required", "POST", "/auth/logout", "", nil)
		h.want(401, "authentication_required", "POST", "/auth/logout", "not-a-token", map[string]string{})
	})
	t.Run("by API key is not", func(t *testing.T) {
		h.want(403, "session_required", "POST", "/auth/logout", h.apiKey(newDevice()), nil)
	})
}

func TestOwnSessions(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	phone := h.member("ann@example.org")
	h.clock.Advance(time.Minute)
	laptop := h.login("ann@example.org", goodPassword)
	stranger := h.member("eve@example.org")

	list := h.want(200, "", "GET", "/auth/sessions", laptop.access, nil).JSON(t)["sessions"].([]any)
	if len(list) != 2 {
		t.Fatalf("want 2 sessions, got %v", list)
	}
	newest, oldest := list[0].(map[string]any), list[1].(map[string]any)
	if newest["current"] != true || oldest["current"] != false || newest["user_agent"] != "test-agent" || newest["ip"] == "" {
		t.Errorf("got %v", list)
	}
	path := "/auth/sessions/" + oldest["id"].(string)
	h.want(404, "not_found", http.MethodDelete, path, stranger.access, nil)
	h.want(204, "", http.MethodDelete, path, laptop.access, nil)
	h.want(404, "not_found", http.MethodDelete, path, laptop.access, nil)
	h.want(401, "session_revoked", "GET", "/users/me", phone.access, nil)
	h.want(204, "", http.MethodDelete, "/auth/sessions", laptop.access, nil)
	h.want(401, "session_revoked", "GET", "/users/me", laptop.access, nil)
	h.want(200, "", "GET", "/users/me", stranger.access, nil)
}
