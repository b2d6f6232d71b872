package analytics_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/modules/analytics"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// The clock of these tests stands at this time, a Monday.
const now = "2026-11-23T10:00:00Z"

type rig struct {
	*testkit.Server
	module *analytics.Module
	store  analytics.Repository
	clock  *testkit.Clock
}

func newRig(t *testing.T, db *database.DB) *rig {
	t.Helper()
	r := &rig{store: analytics.NewRepository(db), clock: testkit.NewClock()}
	r.clock.Advance(30 * time.Minute) // so that "now" lies inside of an hour
	var err error
	r.module, err = analytics.New(analytics.DefaultConfig(), analytics.Deps{
		Repository: r.store, OutboxDir: t.TempDir(), Logger: testkit.Logger(), Now: r.clock.Now,
		CountUsers: func(context.Context) (int64, error) { return 42, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.module.Close(context.Background()) })
	r.Server = testkit.Serve(t, r.module.Mount)
	return r
}

func event(at string, user int64, service, model string, change ...func(*analytics.Event)) analytics.Event {
	when, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		panic(err)
	}
	e := analytics.Event{ID: uid.New(when), At: when, Service: service, Provider: "p-" + service, Model: model, Status: analytics.StatusOK,
		LatencyMS: 64, InputTokens: 10, OutputTokens: 5, InputBytes: 100, OutputBytes: 1000, CostNanoUSD: 250_000_000}
	if user != 0 {
		e.UserID = &user
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func refused(e *analytics.Event) {
	e.Status, e.Provider, e.Model, e.LatencyMS, e.CostNanoUSD = analytics.StatusRefused, "", "", 1, 0
	e.InputTokens, e.OutputTokens, e.InputBytes, e.OutputBytes = 0, 0, 0, 0
}

// seed stores a small history: user 1 chats and draws, user 2 chats, somebody
// anonymous draws, and user 1 did something in the period before the last.
func (r *rig) seed(t *testing.T) {
	t.Helper()
	err := r.store.Append(t.Context(), []analytics.Event{
		event("2026-11-23T10:15:00Z", 1, "chat", "a"), event("2026-11-23T10:16:00Z", 1, "chat", "a"), event("2026-11-22T23:59:59.999Z", 1, "chat", "b"),
		event("2026-11-22T12:00:00Z", 1, "image", "c", func(e *analytics.Event) { e.LatencyMS = 1024 }), event("2026-11-22T12:30:00Z", 1, "image", "", refused),
		event("2026-11-20T09:00:00Z", 2, "chat", "a"), event("2026-11-20T09:30:00Z", 0, "image", "c"),
		event("2026-10-10T09:30:00Z", 1, "chat", "a"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, r *rig, path string, as testkit.Caller) map[string]any {
	t.Helper()
	answer := r.Do(http.MethodGet, path, as, nil)
	if answer.Status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, answer.Status, answer.Body)
	}
	return answer.JSON(t)
}

func checkJSON(t *testing.T, want string, got any) {
	t.Helper()
	var expected any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOverviewHasEveryFigure(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		checkJSON(t, `{
			"user_id": 1, "from": "2026-10-24T10:00:00Z", "to": "2026-11-23T11:00:00Z",
			"total_requests": 5, "successful_requests": 4, "failed_requests": 1, "success_rate": 0.8,
			"services": {
				"chat": {"requests": 3, "failed": 0, "tokens": 45, "cost_usd": 0.75, "latency_ms": 64},
				"image": {"requests": 2, "failed": 1, "tokens": 15, "cost_usd": 0.25, "latency_ms": 1024},
				"speech": {"requests": 0, "failed": 0, "tokens": 0, "cost_usd": 0, "latency_ms": 0}},
			"tokens": {"input": 40, "output": 20, "total": 60}, "bytes": 4400, "cost_usd": 1,
			"latency_ms": {"p50": 58, "p95": 1024, "p99": 1024},
			"top_models": [
				{"provider": "p-chat", "model": "a", "requests": 2}, {"provider": "p-chat", "model": "b", "requests": 1},
				{"provider": "p-image", "model": "c", "requests": 1}],
			"first_request": "2026-11-22T12:00:00Z", "last_request": "2026-11-23T10:16:00Z"}`,
			get(t, r, "/analytics/user/me", testkit.User(1)))
		image := get(t, r, "/analytics/service/image", testkit.Admin(9))
		if image["user_id"] != nil || image["total_requests"] != 3.0 || image["cost_usd"] != 0.5 {
			t.Errorf("image of everyone: %v", image)
		}
		filtered := get(t, r, "/analytics/user/me?service=image&from=2026-11-22T12:10:00Z&to=2026-11-22T12:20:00Z", testkit.User(1))
		if filtered["total_requests"] != 2.0 || filtered["from"] != "2026-11-22T12:00:00Z" || filtered["to"] != "2026-11-22T13:00:00Z" {
			t.Errorf("filtered: %v", filtered)
		}
	})
}

func TestAnswersWithoutAnyUsageAreComplete(t *testing.T) {
	r := newRig(t, testkit.SQLite(t))
	zero := `{"requests": 0, "failed": 0, "tokens": 0, "cost_usd": 0, "latency_ms": 0}`
	overview := `"from": "2026-10-24T10:00:00Z", "to": "2026-11-23T11:00:00Z", "total_requests": 0, "successful_requests": 0, "failed_requests": 0,
		"success_rate": 0, "services": {"chat": ` + zero + `, "image": ` + zero + `, "speech": ` + zero + `},
		"tokens": {"input": 0, "output": 0, "total": 0}, "bytes": 0, "cost_usd": 0, "latency_ms": {"p50": 0, "p95": 0, "p99": 0},
		"top_models": [], "first_request": null, "last_request": null`
	checkJSON(t, `{"user_id": 5, `+overview+`}`, get(t, r, "/analytics/user/me", testkit.User(5)))
	checkJSON(t, `{"user_id": null, `+overview+`, "users": {"total": 42, "active": 0}, "anonymous_requests": 0, "top_users": []}`,
		get(t, r, "/analytics/system", testkit.Admin(9)))
	for path, lists := range map[string][]string{
		"/analytics/performance": {"models"},
		"/analytics/costs":       {"by_provider", "by_model"},
		"/analytics/reports":     {"top_models", "top_users"},
	} {
		answer := get(t, r, path, testkit.Admin(9))
		for _, name := range lists {
			if list, ok := answer[name].([]any); !ok || len(list) != 0 {
				t.Errorf("%s: %s is %v, want an empty list", path, name, answer[name])
			}
		}
	}
}

func TestSystemCountsEveryone(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		system := get(t, r, "/analytics/system", testkit.Admin(9))
		checkJSON(t, `{"total": 42, "active": 2}`, system["users"])
		checkJSON(t, `[{"user_id": 1, "requests": 5, "failed": 1, "tokens": 60, "cost_usd": 1}, {"user_id": 2, "requests": 1, "failed": 0, "tokens": 15, "cost_usd": 0.25}]`,
			system["top_users"])
		if system["total_requests"] != 7.0 || system["anonymous_requests"] != 1.0 {
			t.Errorf("system: %v", system)
		}
	})
}

func TestSeriesHasNoGaps(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		one, admin := testkit.User(1), testkit.Admin(9)
		for _, c := range []struct {
			as          testkit.Caller
			query, want string
		}{
			{one, "", "31: 11-22=3 11-23=2"},
			{admin, "", "31: 11-20=2 11-22=3 11-23=2"},
			{one, "?bucket=day&from=2026-11-21T00:00:00Z&to=2026-11-24T00:00:00Z", "3: 11-22=3 11-23=2"},
			{one, "?bucket=week", "6: 11-16=3 11-23=2"},
			{one, "?bucket=month&from=2026-09-30T23:00:00Z", "3: 10-01=1 11-01=5"},
			{one, "?bucket=hour&from=2026-11-22T11:00:00Z&to=2026-11-22T14:00:00Z", "3: 11-22=2"},
			{admin, "?bucket=week&service=image", "6: 11-16=3"},
			{admin, "?user_id=0", "31: 11-20=1"},
		} {
			var got strings.Builder
			series, _ := get(t, r, "/analytics/usage"+c.query, c.as)["series"].([]any)
			fmt.Fprintf(&got, "%d:", len(series))
			for _, each := range series {
				point := each.(map[string]any)
				if n := len(point["services"].(map[string]any)); n != 3 {
					t.Errorf("%d services in %v", n, point)
				}
				if point["requests"] != 0.0 {
					fmt.Fprintf(&got, " %s=%v", point["start"].(string)[5:10], point["requests"])
				}
			}
			if got.String() != c.want {
				t.Errorf("%s, %q: got %s, want %s", c.as, c.query, got.String(), c.want)
			}
		}
	})
}

func TestPerformanceIsByModel(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		answer := get(t, r, "/analytics/performance?service=image", testkit.User(1))
		checkJSON(t, `[
			{"service": "image", "provider": "", "model": "", "requests": 1, "failed": 1, "success_rate": 0, "latency_ms": {"mean": 0, "p50": 0, "p95": 0, "p99": 0}, "ttft_ms": 0},
			{"service": "image", "provider": "p-image", "model": "c", "requests": 1, "failed": 0, "success_rate": 1, "latency_ms": {"mean": 1024, "p50": 1024, "p95": 1024, "p99": 1024}, "ttft_ms": 0}]`,
			answer["models"])
		checkJSON(t, `{"requests": 2, "failed": 1, "success_rate": 0.5, "latency_ms": {"mean": 1024, "p50": 1024, "p95": 1024, "p99": 1024}, "ttft_ms": 0}`,
			answer["services"].(map[string]any)["image"])
	})
}

func TestCostsAddUpFromEverySide(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		answer := get(t, r, "/analytics/costs", testkit.Admin(9))
		if answer["cost_usd"] != 1.5 || answer["currency"] != "USD" {
			t.Errorf("costs: %v", answer)
		}
		checkJSON(t, `[{"provider": "", "requests": 1, "tokens": 0, "cost_usd": 0}, {"provider": "p-chat", "requests": 4, "tokens": 60, "cost_usd": 1},
			{"provider": "p-image", "requests": 2, "tokens": 30, "cost_usd": 0.5}]`, answer["by_provider"])
		for _, side := range []string{"by_provider", "by_model", "by_day"} {
			var total float64
			for _, line := range answer[side].([]any) {
				total += line.(map[string]any)["cost_usd"].(float64)
			}
			if total != 1.5 {
				t.Errorf("%s adds up to %v", side, total)
			}
		}
		if n := len(answer["by_day"].([]any)); n != 31 {
			t.Errorf("%d days", n)
		}
	})
}

func TestReportComparesWithThePeriodBefore(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := newRig(t, db)
		r.seed(t)
		report := get(t, r, "/analytics/reports", testkit.User(1))
		checkJSON(t, `{"requests": 4, "failed": null, "tokens": 3, "bytes": 3, "cost_usd": 3}`, report["change"])
		checkJSON(t, `[]`, report["top_users"])
		previous := report["previous"].(map[string]any)
		if previous["from"] != "2026-09-24T09:00:00Z" || previous["to"] != report["from"] || previous["totals"].(map[string]any)["requests"] != 1.0 {
			t.Errorf("previous: %v", previous)
		}
		if users := get(t, r, "/analytics/reports", testkit.Admin(9))["top_users"].([]any); len(users) != 2 {
			t.Errorf("top users %v", users)
		}
		if users := get(t, r, "/analytics/reports?user_id=1", testkit.Admin(9))["top_users"].([]any); len(users) != 0 {
			t.Errorf("top users of one account: %v", users)
		}
	})
}

func TestReportDownloadsAsCSV(t *testing.T) {
	r := newRig(t, testkit.SQLite(t))
	r.seed(t)
	if err := r.store.Append(t.Context(), []analytics.Event{event("2026-11-01T00:00:00Z", 1, "chat", `=cmd|' /C calc'!A0`)}); err != nil {
		t.Fatal(err)
	}
	answer := r.Do(http.MethodGet, "/analytics/reports?format=csv", testkit.User(1), nil)
	if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		answer.Header.Get("Content-Disposition") != `attachment; filename="llmhist-usage-20261024T10-20261123T11.csv"` {
		t.Fatalf("%d %v", answer.Status, answer.Header)
	}
	lines, err := csv.NewReader(strings.NewReader(string(answer.Body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"day", "service", "provider", "model", "requests", "successful", "failed", "input_tokens", "output_tokens", "input_bytes", "output_bytes", "cost_usd", "mean_latency_ms"},
		{"2026-11-01", "chat", "p-chat", `'=cmd|' /C calc'!A0`, "1", "1", "0", "10", "5", "100", "1000", "0.25", "64"},
		{"2026-11-22", "chat", "p-chat", "b", "1", "1", "0", "10", "5", "100", "1000", "0.25", "64"},
		{"2026-11-22", "image", "", "", "1", "0", "1", "0", "0", "0", "0", "0", "0"},
		{"2026-11-22", "image", "p-image", "c", "1", "1", "0", "10", "5", "100", "1000", "0.25", "1024"},
		{"2026-11-23", "chat", "p-chat", "a", "2", "2", "0", "20", "10", "200", "2000", "0.5", "64"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
