package auth

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestTheOwnAccount(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		ann := h.member("ann@example.org")
		h.member("eve@example.org")
		h.want(401, "authentication_required", "GET", "/users/me", "", nil)
		h.clock.Advance(time.Minute)

		me := h.want(200, "", "PATCH", "/users/me", ann.access, map[string]any{"name": " Ann '; DROP 🦊 "}).JSON(t)
		if me["name"] != "Ann '; DROP 🦊" || me["email"] != "ann@example.org" || me["created_at"] == me["updated_at"] {
			t.Errorf("got %v", me)
		}
		h.want(422, "validation_failed", "PATCH", "/users/me", ann.access, map[string]any{"email": "new@example.org"})
		h.want(403, "wrong_password", "PATCH", "/users/me", ann.access, map[string]any{"email": "new@example.org", "current_password": "wrong"})
		h.want(409, "email_taken", "PATCH", "/users/me", ann.access, map[string]any{"email": "EVE@example.org", "current_password": goodPassword})
		h.want(422, "validation_failed", "PATCH", "/users/me", ann.access, map[string]any{"role": "admin"})
		h.want(200, "", "PATCH", "/users/me", ann.access, map[string]any{"email": "Ann@Example.org"}) // the same address
		h.want(200, "", "PATCH", "/users/me", ann.access, map[string]any{"email": "new@example.org", "current_password": goodPassword})
		h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": goodPassword})
		me = h.want(200, "", "GET", "/users/me", h.login("new@example.org", goodPassword).access, nil).JSON(t)
		if me["name"] != "Ann '; DROP 🦊" || me["role"] != "user" || me["quotas"].(map[string]any)["image_per_day"] != nil {
			t.Errorf("got %v", me)
		}
	})
}

func TestANewPasswordEndsTheOtherSessions(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		phone := h.member("ann@example.org")
		laptop := h.login("ann@example.org", goodPassword)
		key := h.apiKey(laptop)
		h.want(200, "", "GET", "/users/me", phone.access, nil)
		change := func(current, next string) map[string]string {
			return map[string]string{"current_password": current, "new_password": next}
		}
		h.want(403, "wrong_password", "POST", "/users/me/password", laptop.access, change("wrong", "another password"))
		h.want(422, "validation_failed", "POST", "/users/me/password", laptop.access, change(goodPassword, "short"))
		h.want(422, "validation_failed", "POST", "/users/me/password", laptop.access, change("", "another password"))
		h.want(204, "", "POST", "/users/me/password", laptop.access, change(goodPassword, "another password"))
		h.want(401, "session_revoked", "GET", "/users/me", phone.access, nil)
		h.want(200, "", "GET", "/users/me", laptop.access, nil)
		h.want(200, "", "GET", "/users/me", key, nil)
		h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": goodPassword})
		h.login("ann@example.org", "another password")
	})
}

func TestAStolenAccessTokenCannotGuessThePassword(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann, eve := h.member("ann@example.org"), h.member("eve@example.org")
	body := map[string]string{"current_password": "wrong", "new_password": goodPassword}
	for range guessesAllowed {
		h.want(403, "wrong_password", "POST", "/users/me/password", ann.access, body)
	}
	refused := h.want(429, "too_many_attempts", "PATCH", "/users/me", ann.access,
		map[string]string{"email": "new@example.org", "current_password": goodPassword})
	if refused.Header.Get("Retry-After") != "90" {
		t.Errorf("Retry-After %q", refused.Header.Get("Retry-After"))
	}
	h.want(403, "wrong_password", "POST", "/users/me/password", eve.access, body)
	h.clock.Advance(guessesWindow)
	h.want(204, "", "POST", "/users/me/password", h.login("ann@example.org", goodPassword).access,
		map[string]string{"current_password": goodPassword, "new_password": goodPassword})
}

func TestARightPasswordForgivesTheWrongOnesBefore(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	change := func(current string) map[string]string {
		return map[string]string{"current_password": current, "new_password": goodPassword}
	}
	for range 2 {
		for range guessesAllowed - 1 {
			h.want(403, "wrong_password", "POST", "/users/me/password", ann.access, change("wrong"))
		}
		h.want(204, "", "POST", "/users/me/password", ann.access, change(goodPassword))
	}
}

func TestErasingTheAccount(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var erased []int64
		h := openHouse(t, db, func(_ *Config, d *Deps) {
			d.OnUserDeleted = func(_ context.Context, id int64) error { erased = append(erased, id); return nil }
		})
		ann := h.member("ann@example.org")
		key := h.apiKey(ann)
		h.want(403, "session_required", "DELETE", "/users/me", key, nil)
		h.want(403, "wrong_password", "DELETE", "/users/me", ann.access, map[string]string{"password": "wrong"})
		h.want(204, "", "DELETE", "/users/me", ann.access, map[string]string{"password": goodPassword})
		h.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
		h.want(401, "invalid_token", "GET", "/users/me", key, nil)
		if len(erased) != 1 || erased[0] != ann.id {
			t.Errorf("erased %v, want [%d]", erased, ann.id)
		}
		if again := h.member("ann@example.org"); again.id == ann.id {
			t.Error("the id was used again")
		}
	})
}

func TestAnErasureThatFailsIsResumed(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var fails atomic.Bool
		var calls atomic.Int64
		h := openHouse(t, db, func(_ *Config, d *Deps) {
			d.OnUserDeleted = func(context.Context, int64) error {
				calls.Add(1)
				if fails.Load() {
					return errors.New("the bucket does not answer")
				}
				return nil
			}
		})
		fails.Store(true)
		ann := h.member("ann@example.org")
		h.want(503, "deletion_unfinished", "DELETE", "/users/me", ann.access, nil)
		h.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
		verified := h.service.hasher.verified.Load()
		h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": goodPassword})
		if cost := h.service.hasher.verified.Load() - verified; cost != 1 {
			t.Errorf("a login to a closed account costs %d verifications, an unknown one 1", cost)
		}
		h.want(401, "invalid_refresh_token", "POST", "/auth/refresh", "", map[string]string{"refreshToken": ann.refresh})
		h.want(409, "email_taken", "POST", "/auth/register", "", map[string]string{"email": "ann@example.org", "password": goodPassword})

		if err := h.Sweep(t.Context()); err != nil || calls.Load() != 1 {
			t.Fatalf("too early: %v after %d calls", err, calls.Load())
		}
		h.clock.Advance(resumeDeletion + time.Second)
		if err := h.Sweep(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("want the failure, got %v", err)
		}
		fails.Store(false)
		if err := h.Sweep(t.Context()); err != nil || calls.Load() != 3 {
			t.Fatalf("%v after %d calls", err, calls.Load())
		}
		h.member("ann@example.org")

		// A request that was under way may have stored something meanwhile.
		for _, step := range []struct {
			after time.Duration
			fails bool
			calls int64
		}{{0, false, 3}, {eraseAgain, false, 3}, {time.Second, true, 4}, {0, false, 5}, {time.Hour, false, 5}} {
			h.clock.Advance(step.after)
			fails.Store(step.fails)
			if err := h.Sweep(t.Context()); (err != nil) != step.fails || calls.Load() != step.calls {
				t.Errorf("%+v: %v after %d calls", step, err, calls.Load())
			}
		}
	})
}

// TestAnAccountThatARestoreBroughtBackIsNotErased restores into a database that
// knew the account as erased and was emptied by hand, or not at all.
func TestAnAccountThatARestoreBroughtBackIsNotErased(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var calls int
		h := openHouse(t, db, func(_ *Config, d *Deps) {
			d.OnUserDeleted = func(context.Context, int64) error { calls++; return nil }
		})
		erased := func() []int64 {
			ids, err := h.service.deletions.ListErased(t.Context(), h.clock.Now().Add(time.Hour), 5)
			if err != nil {
				t.Fatal(err)
			}
			return ids
		}
		for _, clear := range []bool{false, true} {
			ann, before := h.member("ann@example.org"), calls
			user, err := h.service.users.FindUser(t.Context(), ann.id)
			if err != nil {
				t.Fatal(err)
			}
			h.want(204, "", "DELETE", "/users/me", ann.access, map[string]string{"password": goodPassword})
			if clear {
				if err := NewArchive(db).Clear(t.Context()); err != nil || len(erased()) != 0 {
					t.Errorf("a cleared database knows %v as erased, %v", erased(), err)
				}
			}
			if err := NewArchive(db).insertUsers(t.Context(), []archivedUser{archivedUserOf(user)}); err != nil {
				t.Fatal(err)
			}
			h.clock.Advance(eraseAgain + time.Second)
			if err := h.Sweep(t.Context()); err != nil || calls != before+1 || len(erased()) != 0 {
				t.Errorf("cleared %v: erased %d times, %v left, %v", clear, calls-before, erased(), err)
			}
			if err := NewArchive(db).Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAPIKeys(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		ann, eve := h.member("ann@example.org"), h.member("eve@example.org")
		made := h.want(201, "", "POST", "/users/me/api-keys", ann.access, map[string]any{"name": "laptop"}).JSON(t)
		key, id := made["key"].(string), made["id"].(string)
		if !strings.HasPrefix(key, "llmh_") || !strings.HasPrefix(key, made["prefix"].(string)) || made["expires_at"] != nil {
			t.Fatalf("got %v", made)
		}
		h.want(200, "", "GET", "/users/me", key, nil)
		listed := h.want(200, "", "GET", "/users/me/api-keys", key, nil)
		first := listed.JSON(t)["api_keys"].([]any)[0].(map[string]any)
		if strings.Contains(string(listed.Body), key) || first["last_used_at"] != "2026-11-23T10:00:00Z" || first["name"] != "laptop" {
			t.Errorf("got %s", listed.Body)
		}
		if list := h.want(200, "", "GET", "/users/me/api-keys", eve.access, nil); string(list.Body) != "{\"api_keys\":[]}\n" {
			t.Errorf("eve sees %s", list.Body)
		}
		h.want(404, "not_found", "DELETE", "/users/me/api-keys/"+id, eve.access, nil)
		h.want(204, "", "DELETE", "/users/me/api-keys/"+id, ann.access, nil)
		h.want(404, "not_found", "DELETE", "/users/me/api-keys/"+id, ann.access, nil)
		h.want(401, "invalid_token", "GET", "/users/me", key, nil)
		h.want(401, "invalid_token", "GET", "/users/me", newAPIKey(), nil)
		h.want(401, "invalid_token", "GET", "/users/me", "llmh_short", nil)
	})
}

func TestAPIKeysExpireAndCountTheirUse(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	until := h.clock.Now().Add(90 * time.Second)
	for name, body := range map[string]any{
		"no name": map[string]any{}, "a blank name": map[string]any{"name": "  "}, "a long name": map[string]any{"name": strings.Repeat("x", 101)},
		"the past": map[string]any{"name": "x", "expires_at": h.clock.Now()}, "no time": map[string]any{"name": "x", "expires_at": "tomorrow"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			h.want(422, "validation_failed", "POST", "/users/me/api-keys", ann.access, body)
		})
	}
	key := h.want(201, "", "POST", "/users/me/api-keys", ann.access, map[string]any{"name": "x", "expires_at": until}).JSON(t)["key"].(string)
	lastUsed := func() time.Time {
		t.Helper()
		keys, err := h.service.keys.ListKeys(t.Context(), ann.id)
		if err != nil || len(keys) != 1 || keys[0].LastUsedAt == nil {
			t.Fatalf("%v %v", keys, err)
		}
		return *keys[0].LastUsedAt
	}
	began := h.clock.Now()
	h.want(200, "", "GET", "/users/me", key, nil)
	h.clock.Advance(59 * time.Second)
	h.want(200, "", "GET", "/users/me", key, nil)
	if got := lastUsed(); !got.Equal(began) {
		t.Errorf("recorded again within the minute: %v", got)
	}
	h.clock.Advance(time.Second)
	h.want(200, "", "GET", "/users/me", key, nil)
	if got := lastUsed(); !got.Equal(began.Add(time.Minute)) {
		t.Errorf("not recorded after the minute: %v", got)
	}
	h.clock.Advance(30 * time.Second)
	h.want(401, "api_key_expired", "GET", "/users/me", key, nil)
}

func TestAnAPIKeyManagesNoAccount(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	key := h.apiKey(h.admin("boss@example.org"))
	for _, route := range []struct {
		method, path string
		body         any
	}{
		{"PATCH", "/users/me", map[string]string{"name": "x"}},
		{"DELETE", "/users/me", nil},
		{"POST", "/users/me/password", map[string]string{"current_password": goodPassword, "new_password": goodPassword}},
		{"POST", "/users/me/api-keys", map[string]string{"name": "x"}},
		{"DELETE", "/users/me/api-keys/x", nil},
		{"GET", "/auth/sessions", nil},
		{"DELETE", "/auth/sessions/x", nil},
		{"DELETE", "/auth/sessions", nil},
		{"GET", "/admin/users", nil},
		{"GET", "/admin/users/1", nil},
		{"PATCH", "/admin/users/1", map[string]string{"name": "x"}},
		{"DELETE", "/admin/users/1", nil},
	} {
		h.want(403, "session_required", route.method, route.path, key, route.body)
	}
	h.want(200, "", "GET", "/users/me", key, nil)
}
