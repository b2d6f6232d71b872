package auth

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// announced keeps what a module announces.
type announced struct {
	mu   sync.Mutex
	list []Change
}

func (a *announced) add(c Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, c)
}

func (a *announced) take() []Change {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.list
	a.list = nil
	return list
}

// TestWhatOneModuleAnnouncesTheOtherForgets runs two modules on one database
// whose clocks stand still: what one remembers never grows old by itself.
func TestWhatOneModuleAnnouncesTheOtherForgets(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var heard announced
		here := openHouse(t, db, func(_ *Config, d *Deps) { d.Announce = heard.add })
		there := openHouse(t, db)
		boss := here.admin("boss@example.org")
		for name, test := range map[string]struct {
			revoke func(u signedIn, key string) // at the server here
			code   string                       // of the key's refusal there; "" = it goes on
			what   func(u signedIn, change Change) bool
		}{
			"a session": {func(u signedIn, _ string) { here.want(204, "", "POST", "/auth/logout", u.access, nil) }, "",
				func(_ signedIn, c Change) bool { return c.SessionID != "" && c.UserID == 0 && c.KeyID == "" }},
			"an account": {func(u signedIn, _ string) {
				here.want(200, "", "PATCH", "/admin/users/"+strconv.FormatInt(u.id, 10), boss.access, map[string]any{"disabled": true})
			}, "account_disabled", func(u signedIn, c Change) bool { return c == Change{UserID: u.id} }},
		} {
			t.Run(name, func(t *testing.T) {
				u := here.member(strings.ReplaceAll(name, " ", "-") + "@example.org")
				key := here.apiKey(u)
				heard.take()
				there.want(200, "", "GET", "/users/me", u.access, nil)
				there.want(200, "", "GET", "/users/me", key, nil)
				test.revoke(u, key)
				changes := heard.take()
				if len(changes) != 1 || !test.what(u, changes[0]) {
					t.Fatalf("announced %+v", changes)
				}
				there.want(200, "", "GET", "/users/me", u.access, nil) // it has not heard yet
				there.Forget(changes[0])
				there.want(401, "session_revoked", "GET", "/users/me", u.access, nil)
				if test.code != "" {
					there.want(401, test.code, "GET", "/users/me", key, nil)
				}
			})
		}
	})
}

func TestForgetAllForgetsSessionsKeysAndQuotas(t *testing.T) {
	db := testkit.SQLite(t)
	here, there := openHouse(t, db), openHouse(t, db)
	boss, ann := here.admin("boss@example.org"), here.member("ann@example.org")
	key := here.apiKey(ann)
	there.want(200, "", "GET", "/users/me", key, nil)
	caller, err := there.service.gate.authenticate(t.Context(), ann.access)
	if err != nil {
		t.Fatal(err)
	}
	if err := there.ChargeQuota(t.Context(), caller, "chat"); err != nil {
		t.Fatal(err)
	}
	here.want(200, "", "PATCH", "/admin/users/"+strconv.FormatInt(ann.id, 10), boss.access, map[string]any{"disabled": true, "quotas": map[string]any{"chat_per_day": 0}})
	there.want(200, "", "GET", "/users/me", ann.access, nil)
	there.ForgetAll()
	there.want(401, "session_revoked", "GET", "/users/me", ann.access, nil)
	there.want(401, "account_disabled", "GET", "/users/me", key, nil)
	if err := there.ChargeQuota(t.Context(), caller, "chat"); err == nil {
		t.Error("the old quota is remembered")
	}
}

func TestWhatChangesNothingIsNotAnnounced(t *testing.T) {
	var heard announced
	h := openHouse(t, testkit.SQLite(t), func(_ *Config, d *Deps) { d.Announce = heard.add })
	ann := h.member("ann@example.org")
	h.want(200, "", "POST", "/auth/refresh", "", map[string]any{"refreshToken": ann.refresh})
	h.want(401, "invalid_refresh_token", "POST", "/auth/refresh", "", map[string]any{"refreshToken": "nonsense"})
	h.want(204, "", "POST", "/auth/logout", "", map[string]any{"refreshToken": newRefreshToken().whole})
	h.Forget(Change{})
	if diff := cmp.Diff([]Change(nil), heard.take()); diff != "" {
		t.Error(diff)
	}
}
