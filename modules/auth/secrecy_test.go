package auth

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// TestSecretsStayInside walks through most routes and then looks for anything
// secret in what left the server and in its log.
func TestSecretsStayInside(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		boss, ann := h.admin("boss@example.org"), h.member("ann@example.org")
		key := h.apiKey(ann)
		h.do("GET", "/users/me", key, nil)
		h.do("GET", "/users/me/api-keys", ann.access, nil)
		h.do("GET", "/auth/sessions", ann.access, nil)
		h.do("GET", "/admin/users", boss.access, nil)
		h.do("GET", fmt.Sprintf("/admin/users/%d", ann.id), boss.access, nil)
		h.do("POST", "/auth/register", "", map[string]string{"email": "ann@example.org", "password": "a secret 1"})
		h.do("POST", "/auth/register", "", map[string]string{"email": "x", "password": "a secret 2"})
		h.do("POST", "/auth/login", "", map[string]string{"email": "ann@example.org", "password": "a secret 3"})
		h.do("POST", "/users/me/password", ann.access, map[string]string{"current_password": "a secret 4", "new_password": "a secret 5"})
		next := deviceOf(t, h.do("POST", "/auth/refresh", "", map[string]string{"refreshToken": ann.refresh}))
		h.do("POST", "/auth/refresh", "", map[string]string{"refreshToken": ann.refresh})
		h.do("GET", "/users/me", next.access, nil)

		stored, err := h.service.users.FindUser(t.Context(), ann.id)
		if err != nil {
			t.Fatal(err)
		}
		hashes := []string{stored.PasswordHash.Reveal(), hashOf(key), hashOf(ann.refresh), hashOf(next.refresh), hashOf(next.refresh[:familyLength])}
		for _, hash := range hashes {
			if strings.Contains(h.seen.bodies.String(), hash) {
				t.Errorf("an answer holds the hash %s", hash)
			}
		}
		inputs := []string{goodPassword, "a secret 1", "a secret 2", "a secret 3", "a secret 4", "a secret 5"}
		for _, text := range append(append(hashes, inputs...), key, ann.access, ann.refresh, next.access, next.refresh) {
			if strings.Contains(h.seen.log.String(), text) {
				t.Errorf("the log holds %s", text)
			}
		}
		for _, input := range inputs {
			if strings.Contains(h.seen.bodies.String(), input) {
				t.Errorf("an answer holds the password %s", input)
			}
		}
		if !strings.Contains(h.seen.log.String(), "/auth/refresh") {
			t.Error("nothing was logged: this test sees nothing")
		}
		if data, err := json.Marshal(stored); err != nil || strings.Contains(string(data), "argon2id") || strings.Contains(fmt.Sprintf("%+v %#v", stored, stored), "argon2id") {
			t.Errorf("a user shows its hash: %s %v", data, err)
		}
	})
}

func TestTokensAreStoredAsHashesOnly(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		h := openHouse(t, db)
		ann := h.member("ann@example.org")
		key := h.apiKey(ann)
		for column, table := range map[string]string{"refresh_token": "sessions", "token_family": "sessions", "key_hash": "api_keys"} {
			var values []string
			if err := db.Read(t.Context()).Table(table).Select(column).Scan(&values).Error; err != nil || len(values) != 1 {
				t.Fatalf("%s: %v %v", column, values, err)
			}
			if len(values[0]) != 64 || strings.Contains(ann.refresh+key, values[0]) {
				t.Errorf("%s holds %q", column, values[0])
			}
		}
	})
}

func TestSweepRemovesWhatIsOver(t *testing.T) {
	h := openHouse(t, testkit.SQLite(t))
	ann := h.member("ann@example.org")
	boss := h.admin("boss@example.org")
	h.want(200, "", "PATCH", fmt.Sprintf("/admin/users/%d", ann.id), boss.access, map[string]any{"quotas": map[string]any{"chat_per_day": 1}})
	caller, err := h.service.gate.authenticate(t.Context(), ann.access)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ChargeQuota(t.Context(), caller, "chat"); err != nil {
		t.Fatal(err)
	}
	rows := func(table string) (n int64) {
		t.Helper()
		if err := h.db.Read(t.Context()).Table(table).Count(&n).Error; err != nil {
			t.Fatal(err)
		}
		return n
	}
	h.clock.Advance(8 * 24 * time.Hour)
	if err := h.Sweep(t.Context()); err != nil || rows("quota_usage") != 1 || rows("sessions") != 2 {
		t.Fatalf("too early: %v", err)
	}
	h.clock.Advance(28 * 24 * time.Hour)
	if err := h.Sweep(t.Context()); err != nil || rows("sessions") != 2 {
		t.Fatalf("an expired session is remembered for a week: %v", err)
	}
	h.clock.Advance(24*time.Hour + time.Second)
	if err := h.Sweep(t.Context()); err != nil || rows("quota_usage") != 0 || rows("sessions") != 0 {
		t.Fatalf("left over: %d counts, %d sessions (%v)", rows("quota_usage"), rows("sessions"), err)
	}
}
