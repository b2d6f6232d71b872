package analytics_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/modules/analytics"
	"llmhist/platform/testkit"
)

func TestWhoMaySeeWhat(t *testing.T) {
	r := newRig(t, testkit.SQLite(t))
	r.seed(t)
	nobody, one, admin := testkit.Nobody, testkit.User(1), testkit.Admin(9)
	for _, c := range []struct {
		path   string
		as     testkit.Caller
		status int
		code   string
		userID any // of a successful answer
	}{
		{"/analytics/user/me", nobody, 401, "authentication_required", nil},
		{"/analytics/user/me", one, 200, "", 1.0},
		{"/analytics/user/me", admin, 200, "", 9.0},
		{"/analytics/users/1", nobody, 401, "authentication_required", nil},
		{"/analytics/users/1", one, 200, "", 1.0},
		{"/analytics/users/2", one, 404, "not_found", nil},
		{"/analytics/users/999", one, 404, "not_found", nil},
		{"/analytics/users/0", one, 404, "not_found", nil},
		{"/analytics/users/-1", admin, 404, "not_found", nil},
		{"/analytics/users/x", one, 422, "validation_failed", nil},
		{"/analytics/users/2", admin, 200, "", 2.0},
		{"/analytics/service/chat", nobody, 401, "authentication_required", nil},
		{"/analytics/service/chat", one, 200, "", 1.0},
		{"/analytics/service/chat?user_id=2", one, 404, "not_found", nil},
		{"/analytics/service/embedding", one, 200, "", 1.0},
		{"/analytics/service/video", one, 404, "not_found", nil},
		{"/analytics/service/chat?user_id=2", admin, 200, "", 2.0},
		{"/analytics/system", nobody, 401, "authentication_required", nil},
		{"/analytics/system", one, 403, "admin_only", nil},
		{"/analytics/system", admin, 200, "", nil},
		{"/analytics/usage", nobody, 401, "authentication_required", nil},
		{"/analytics/usage", one, 200, "", 1.0},
		{"/analytics/usage?user_id=1", one, 200, "", 1.0},
		{"/analytics/usage?user_id=2", one, 404, "not_found", nil},
		{"/analytics/usage?user_id=0", one, 404, "not_found", nil},
		{"/analytics/usage", admin, 200, "", nil},
		{"/analytics/performance", nobody, 401, "authentication_required", nil},
		{"/analytics/performance", one, 200, "", 1.0},
		{"/analytics/performance?user_id=2", one, 404, "not_found", nil},
		{"/analytics/costs", nobody, 401, "authentication_required", nil},
		{"/analytics/costs", one, 200, "", 1.0},
		{"/analytics/costs?user_id=2", one, 404, "not_found", nil},
		{"/analytics/reports", nobody, 401, "authentication_required", nil},
		{"/analytics/reports", one, 200, "", 1.0},
		{"/analytics/reports?user_id=2", one, 404, "not_found", nil},
		{"/analytics/reports?user_id=2&format=csv", one, 404, "not_found", nil},
		{"/analytics/reports?user_id=2", admin, 200, "", 2.0},
	} {
		answer := r.Do(http.MethodGet, c.path, c.as, nil)
		if answer.Status != c.status || answer.Code() != c.code {
			t.Errorf("%q GET %s: %d %s, want %d %s", c.as, c.path, answer.Status, answer.Code(), c.status, c.code)
			continue
		}
		if answer.Status == http.StatusOK && answer.JSON(t)["user_id"] != c.userID {
			t.Errorf("%q GET %s: figures of %v, want %v", c.as, c.path, answer.JSON(t)["user_id"], c.userID)
		}
	}
}

func TestBadQuestionsAreNamed(t *testing.T) {
	r := newRig(t, testkit.SQLite(t))
	for query, fields := range map[string]string{
		"/analytics/usage?bucket=year":                                         "bucket:unknown_bucket",
		"/analytics/usage?bucket=year&service=video&user_id=-2":                "bucket:unknown_bucket service:unknown_service user_id:out_of_range",
		"/analytics/usage?bucket=hour&from=2026-01-01T00:00:00Z":               "bucket:too_many_points",
		"/analytics/usage?from=yesterday&user_id=me":                           "from:wrong_type user_id:wrong_type",
		"/analytics/costs?from=2026-11-23T12:00:00Z":                           "from:out_of_range",
		"/analytics/performance?from=2020-01-01T00:00:00Z":                     "from:period_too_long",
		"/analytics/reports?format=pdf":                                        "format:unknown_format",
		"/analytics/user/me?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "from:out_of_range",
	} {
		answer := r.Do(http.MethodGet, query, testkit.Admin(9), nil)
		var problem struct {
			Errors []struct{ Field, Code string }
		}
		if err := json.Unmarshal(answer.Body, &problem); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range problem.Errors {
			got = append(got, e.Field+":"+e.Code)
		}
		if answer.Status != http.StatusUnprocessableEntity || strings.Join(got, " ") != fields {
			t.Errorf("%s: %d %v, want %s", query, answer.Status, got, fields)
		}
	}
}

func TestErasedAccountsStayInTheSums(t *testing.T) {
	r := newRig(t, testkit.SQLite(t))
	r.seed(t)
	before := get(t, r, "/analytics/system", testkit.Admin(9))
	if err := r.module.EraseUser(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	after := get(t, r, "/analytics/system", testkit.Admin(9))
	for _, member := range []string{"total_requests", "failed_requests", "cost_usd", "services", "latency_ms", "top_models", "anonymous_requests"} {
		if diff := cmp.Diff(before[member], after[member]); diff != "" {
			t.Errorf("%s changed (-before +after):\n%s", member, diff)
		}
	}
	checkJSON(t, `{"total": 42, "active": 1}`, after["users"])
	if erased := get(t, r, "/analytics/usage?user_id=-1", testkit.Admin(9)); erased["user_id"] != -1.0 {
		t.Errorf("erased accounts: %v", erased["user_id"])
	}
	if own := get(t, r, "/analytics/user/me", testkit.User(1)); own["total_requests"] != 0.0 {
		t.Errorf("still there: %v", own)
	}
}

func TestPruneKeepsTheSums(t *testing.T) {
	db := testkit.SQLite(t)
	r := newRig(t, db)
	var events []analytics.Event
	for range 2500 {
		events = append(events, event("2025-09-01T00:00:00Z", 1, "chat", "a"))
	}
	events = append(events, event(now, 1, "chat", "a"))
	if err := r.store.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2500, 0} {
		if deleted, err := r.module.Prune(t.Context()); err != nil || deleted != want {
			t.Errorf("pruned %d, %v; want %d", deleted, err, want)
		}
	}
	old := get(t, r, "/analytics/user/me?from=2025-08-31T00:00:00Z&to=2025-09-02T00:00:00Z", testkit.User(1))
	if old["total_requests"] != 2500.0 {
		t.Errorf("sums: %v", old["total_requests"])
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.module.Prune(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	bad := analytics.Config{OutboxBytes: 1, KeepEvents: time.Minute}
	err := bad.Validate()
	if err == nil || !strings.Contains(err.Error(), "outbox_bytes") || !strings.Contains(err.Error(), "keep_events") {
		t.Errorf("got %v", err)
	}
	if _, err := analytics.New(bad, analytics.Deps{}); err == nil {
		t.Error("New took a bad config")
	}
	if _, err := analytics.New(analytics.DefaultConfig(), analytics.Deps{}); err == nil {
		t.Error("New took no dependencies")
	}
}
