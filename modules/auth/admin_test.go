package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
)

func TestOnlyAdministratorsAdminister(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	for _, route := range [][2]string{
		{"GET", "/admin/users"}, {"GET", "/admin/users/1"}, {"PATCH", "/admin/users/1"}, {"DELETE", "/admin/users/1"},
	} {
		h.want(401, "authentication_required", route[0], route[1], "", nil)
		h.want(403, "admin_only", route[0], route[1], ann.access, nil)
	}
}

func TestAdministratorsListAccounts(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		boss := h.admin("boss@example.org")
		h.member("ann_1@example.org")
		h.member("ann21@example.org")
		for query, want := range map[string]int{
			"": 3, "?q=ANN": 2, "?q=ann_": 1, "?q=%25": 0, "?q=%27": 0, "?q=the%20boss": 1, "?page=2&per_page=2": 1, "?page=9": 0,
		} {
			answer := h.want(200, "", "GET", "/admin/users"+query, boss.access, nil)
			if users := answer.JSON(t)["users"].([]any); len(users) != want {
				t.Errorf("%s: got %d users, want %d", query, len(users), want)
			}
		}
		for _, query := range []string{"?page=0", "?per_page=101", "?page=x", "?q=" + strings.Repeat("x", 201)} {
			h.want(422, "validation_failed", "GET", "/admin/users"+query, boss.access, nil)
		}
	})
}

func TestAdministratorsChangeAccounts(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		boss, ann := h.admin("boss@example.org"), h.member("ann@example.org")
		path := fmt.Sprintf("/admin/users/%d", ann.id)
		h.want(200, "", "GET", "/users/me", ann.access, nil) // now cached
		key := h.apiKey(ann)

		detail := h.want(200, "", "GET", path, boss.access, nil).JSON(t)
		if sessions := detail["sessions"].([]any); len(sessions) != 1 || sessions[0].(map[string]any)["current"] != false {
			t.Errorf("got %v", detail)
		}
		h.want(200, "", "PATCH", path, boss.access, map[string]any{"role": "admin"})
		h.want(200, "", "GET", "/admin/users", ann.access, nil) // the same token, the new role
		h.want(200, "", "PATCH", path, boss.access, map[string]any{"role": "user", "name": "Ann"})
		h.want(403, "admin_only", "GET", "/admin/users", ann.access, nil)

		disabled := h.want(200, "", "PATCH", path, boss.access, map[string]any{"disabled": true}).JSON(t)
		if disabled["disabled"] != true || disabled["disabled_at"] == nil || len(disabled["sessions"].([]any)) != 0 {
			t.Errorf("got %v", disabled)
		}
		h.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
		h.want(401, "account_disabled", "GET", "/users/me", key, nil)
		h.want(401, "session_revoked", "POST", "/auth/refresh", "", map[string]string{"refreshToken": ann.refresh})
		h.want(403, "account_disabled", "POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": goodPassword})
		h.want(401, "invalid_credentials", "POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": "wrong"})
		h.want(200, "", "PATCH", path, boss.access, map[string]any{"disabled": false})
		h.login("ann@example.org", goodPassword)

		h.want(204, "", "DELETE", path, boss.access, nil)
		h.want(404, "not_found", "GET", path, boss.access, nil)
		h.want(404, "not_found", "DELETE", path, boss.access, nil)
		h.want(404, "not_found", "PATCH", path, boss.access, map[string]any{"name": "x"})
	})
}

func TestBadChangesAreRefused(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	boss := h.admin("boss@example.org")
	path := fmt.Sprintf("/admin/users/%d", boss.id)
	for name, body := range map[string]any{
		"an unknown role":        map[string]any{"role": "root"},
		"a long name":            map[string]any{"name": strings.Repeat("x", 101)},
		"a negative quota":       map[string]any{"quotas": map[string]any{"chat_per_day": -1}},
		"an unknown quota":       map[string]any{"quotas": map[string]any{"video_per_day": 1}},
		"a quota in capitals":    map[string]any{"quotas": map[string]any{"CHAT_PER_DAY": 1}},
		"a quota that is a text": map[string]any{"quotas": map[string]any{"chat_per_day": "1"}},
		"an address":             map[string]any{"email": "x@example.org"},
	} {
		t.Run(name, func(t *testing.T) { h.want(422, "validation_failed", "PATCH", path, boss.access, body) })
	}
	h.want(422, "validation_failed", "GET", "/admin/users/me", boss.access, nil)
	h.want(404, "not_found", "GET", "/admin/users/0", boss.access, nil)
}

func TestTheLastAdministratorStays(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		boss := h.admin("boss@example.org")
		path := fmt.Sprintf("/admin/users/%d", boss.id)
		h.want(409, "last_admin", "PATCH", path, boss.access, map[string]any{"role": "user"})
		h.want(409, "last_admin", "PATCH", path, boss.access, map[string]any{"disabled": true})
		h.want(409, "last_admin", "DELETE", path, boss.access, nil)
		h.want(409, "last_admin", "DELETE", "/users/me", boss.access, nil)
		h.want(200, "", "GET", "/admin/users", boss.access, nil)
		h.admin("second@example.org")
		h.want(204, "", "DELETE", "/users/me", boss.access, nil)
	})
}

func TestQuotas(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		boss, ann := h.admin("boss@example.org"), h.member("ann@example.org")
		path := fmt.Sprintf("/admin/users/%d", ann.id)
		caller := identity.Identity{UserID: ann.id, Role: identity.RoleUser}
		charge := func(service string) error { return h.ChargeQuota(t.Context(), caller, service) }
		if err := charge("image"); err != nil {
			t.Fatalf("no quota yet: %v", err)
		}
		h.want(200, "", "PATCH", path, boss.access, map[string]any{"quotas": map[string]any{"image_per_day": 2, "chat_per_day": 0}})
		quotas := h.want(200, "", "PATCH", path, boss.access, map[string]any{"quotas": map[string]any{"speech_per_day": 1}}).JSON(t)["quotas"].(map[string]any)
		if quotas["image_per_day"] != 2.0 || quotas["chat_per_day"] != 0.0 || quotas["speech_per_day"] != 1.0 {
			t.Fatalf("a member that is left out stays: %v", quotas)
		}
		for i, want := range []string{"", "", "quota_exceeded"} {
			if err := charge("image"); fault.CodeOf(err) != want {
				t.Fatalf("request %d: %v, want %q", i+1, err, want)
			}
		}
		var refused *fault.Error
		if err := charge("chat"); !errors.As(err, &refused) || refused.Kind != fault.RateLimited || refused.RetryAfter != 14*time.Hour {
			t.Fatalf("got %#v", refused)
		}
		if err := charge("speech"); err != nil {
			t.Fatalf("services count apart: %v", err)
		}
		h.clock.Advance(14 * time.Hour)
		if err := charge("image"); err != nil {
			t.Fatalf("a new day: %v", err)
		}
		boss = h.login("boss@example.org", goodPassword)
		h.want(200, "", "PATCH", path, boss.access, map[string]any{"quotas": map[string]any{"chat_per_day": nil}})
		if err := charge("chat"); err != nil {
			t.Fatalf("null lifts the limit: %v", err)
		}
		if err := h.ChargeQuota(t.Context(), identity.Identity{}, "image"); err != nil {
			t.Fatalf("anonymous callers have no quota: %v", err)
		}
	})
}

func TestTheFirstAdministrator(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		ctx := t.Context()
		ann := h.member("ann@example.org")
		if made, err := h.EnsureFirstAdmin(ctx, "ann@example.org", "attackers know this"); made || !fault.Is(err, fault.Conflict) {
			t.Fatalf("an account that exists is not promoted by its address: %v %v", made, err)
		}
		if _, err := h.EnsureFirstAdmin(ctx, "nonsense", "x"); !fault.Is(err, fault.Invalid) {
			t.Fatalf("got %v", err)
		}
		if made, err := h.EnsureFirstAdmin(ctx, "boss@example.org", goodPassword); !made || err != nil {
			t.Fatalf("got %v %v", made, err)
		}
		if made, err := h.EnsureFirstAdmin(ctx, "other@example.org", goodPassword); made || err != nil {
			t.Fatalf("there is one already: %v %v", made, err)
		}
		if _, err := h.CreateAdmin(ctx, "Ann@example.org", goodPassword, ""); fault.CodeOf(err) != "email_taken" || !strings.Contains(err.Error(), "promote") {
			t.Fatalf("got %v", err)
		}
		if _, err := h.PromoteUser(ctx, "nobody@example.org"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("got %v", err)
		}
		user, err := h.PromoteUser(ctx, "ANN@example.org")
		if err != nil || user.ID != ann.id || user.Role != identity.RoleAdmin {
			t.Fatalf("got %v %v", user, err)
		}
		h.want(200, "", "GET", "/admin/users", ann.access, nil)
		if counts, err := h.CountUsers(ctx); err != nil || counts != (UserCounts{Total: 2, Admins: 2}) {
			t.Fatalf("got %v %v", counts, err)
		}
	})
}
