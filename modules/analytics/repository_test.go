package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

var day = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// eventAt returns a complete event of user 1.
func eventAt(at time.Time, change ...func(*Event)) Event {
	user, ttft := int64(1), int64(40)
	e := Event{
		ID: uid.New(at), At: at, UserID: &user, Service: "chat", Action: "message", RequestID: "request-1", Provider: "local", Model: "local/guide",
		Status: StatusOK, LatencyMS: 100, TTFTMS: &ttft, InputTokens: 10, OutputTokens: 20, InputBytes: 30, OutputBytes: 40, CostNanoUSD: 50,
		HTTPStatus: 200, ObjectID: "object-1",
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func by(user int64) func(*Event) {
	return func(e *Event) {
		e.UserID = &user
		if user == 0 {
			e.UserID = nil
		}
	}
}

func of(service, provider, model string) func(*Event) {
	return func(e *Event) { e.Service, e.Provider, e.Model = service, provider, model }
}

func ended(status Status) func(*Event) { return func(e *Event) { e.Status = status } }

func within(from time.Time, length time.Duration) Scope {
	return Scope{Period: Period{From: from, To: from.Add(length)}}
}

func ofUser(scope Scope, user int64) Scope {
	scope.UserID = &user
	return scope
}

type storedEvent struct {
	ID, RequestID, Status, Metadata string
	TS                              time.Time
	UserID                          *int64
	TTFTMS                          *int64 `gorm:"column:ttft_ms"`
	OutputBytes                     int64
}

func storedEvents(t testing.TB, db *database.DB) []storedEvent {
	t.Helper()
	var list []storedEvent
	err := db.Read(context.Background()).Table("analytics_events").Order("id").
		Select("id, request_id, status, metadata, ts, user_id, ttft_ms, output_bytes").Scan(&list).Error
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func mustAppend(t testing.TB, r Repository, events ...Event) {
	t.Helper()
	if err := r.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

func totals(t testing.TB, r Repository, scope Scope) Figures {
	t.Helper()
	rollups, err := r.ListRollups(context.Background(), scope, Group{})
	if err != nil {
		t.Fatal(err)
	}
	if len(rollups) > 1 {
		t.Fatalf("one group expected, got %d", len(rollups))
	}
	return sum(rollups)
}

func histogram(t testing.TB, r Repository, scope Scope) Histogram {
	t.Helper()
	latencies, err := r.ListLatencies(context.Background(), scope, Group{})
	if err != nil {
		t.Fatal(err)
	}
	return sumLatencies(latencies)
}

func count(h Histogram) (n int64) {
	for _, c := range h {
		n += c
	}
	return n
}

// TestRepository is the conformance suite: every engine passes it.
func TestRepository(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, r Repository, db *database.DB)
	}{
		{"an event and its rollup hold every figure", roundTrip},
		{"zero values and strange text are kept", zeroValues},
		{"an event counts once however often it is appended", appendedTwice},
		{"a batch above the parameter limits is stored completely", bigBatch},
		{"fifty writers lose no increment", concurrentAppend},
		{"the same events from many writers count once", concurrentSame},
		{"an ended context writes nothing", cancelledAppend},
		{"one bad event keeps the whole batch out", allOrNothing},
		{"any time zone falls into its UTC hour", timeZones},
		{"scopes keep users, services and periods apart", scopes},
		{"groups are summed and in order", groups},
		{"top users are ordered and bounded", topUsers},
		{"an erased account leaves only sums", erase},
		{"erasing while events arrive loses nothing", eraseConcurrently},
		{"old events go and sums stay", deleteEvents},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { c.run(t, NewRepository(db), db) })
		})
	}
}

func roundTrip(t *testing.T, r Repository, db *database.DB) {
	e := eventAt(day.Add(90*time.Minute+123*time.Millisecond), func(e *Event) { e.Estimated, e.Code = true, "x" })
	mustAppend(t, r, e)
	stored := storedEvents(t, db)
	if len(stored) != 1 {
		t.Fatalf("%d events", len(stored))
	}
	var metadata map[string]any
	if err := json.Unmarshal([]byte(stored[0].Metadata), &metadata); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"http_status": 200.0, "code": "x", "object_id": "object-1", "estimated": true}
	if diff := cmp.Diff(want, metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if s := stored[0]; !s.TS.Equal(e.At) || *s.UserID != 1 || *s.TTFTMS != 40 || s.OutputBytes != 40 || s.Status != "ok" || s.RequestID != "request-1" {
		t.Errorf("stored %+v", s)
	}
	figures := Figures{Requests: 1, InputTokens: 10, OutputTokens: 20, InputBytes: 30, OutputBytes: 40, CostNanoUSD: 50,
		LatencySumMS: 100, LatencyCount: 1, TTFTSumMS: 40, TTFTCount: 1}
	hour := within(day.Add(time.Hour), time.Hour)
	rollups, err := r.ListRollups(t.Context(), hour, Group{Step: StepHour, Service: true, Model: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Rollup{{day.Add(time.Hour), "chat", "local", "local/guide", figures}}, rollups); diff != "" {
		t.Errorf("rollup (-want +got):\n%s", diff)
	}
	var latencies Histogram
	latencies[latencyBucket(100)] = 1
	if diff := cmp.Diff(latencies, histogram(t, r, hour)); diff != "" {
		t.Errorf("histogram (-want +got):\n%s", diff)
	}
	first, last, err := r.FindSpan(t.Context(), hour)
	if err != nil || !first.Equal(e.At) || !last.Equal(e.At) {
		t.Errorf("span %v to %v, %v", first, last, err)
	}
}

func zeroValues(t *testing.T, r Repository, db *database.DB) {
	empty := Event{ID: uid.New(day), At: day, Service: "image", Status: StatusRefused}
	odd := eventAt(day, of("chat", "p'\"%_;--", "модель 🎨"))
	mustAppend(t, r, empty, odd)
	stored := storedEvents(t, db)
	if len(stored) != 2 {
		t.Fatalf("%d events", len(stored))
	}
	for _, s := range stored {
		if s.ID == empty.ID && (s.UserID != nil || s.TTFTMS != nil || s.RequestID != "") {
			t.Errorf("stored %+v", s)
		}
	}
	rollups, err := r.ListRollups(t.Context(), within(day, time.Hour), Group{Service: true, Model: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []Rollup{
		{Service: "chat", Provider: odd.Provider, Model: odd.Model, Figures: odd.figures()},
		{Service: "image", Figures: Figures{Requests: 1, Failed: 1}},
	}
	if diff := cmp.Diff(want, rollups); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := r.Append(t.Context(), nil); err != nil {
		t.Errorf("no events: %v", err)
	}
	first, last, err := r.FindSpan(t.Context(), within(day.Add(24*time.Hour), time.Hour))
	if err != nil || !first.IsZero() || !last.IsZero() {
		t.Errorf("empty span %v to %v, %v", first, last, err)
	}
}

func appendedTwice(t *testing.T, r Repository, db *database.DB) {
	first, second := eventAt(day), eventAt(day.Add(time.Minute))
	mustAppend(t, r, first, first)
	mustAppend(t, r, second, first, second)
	mustAppend(t, r, first)
	if n := len(storedEvents(t, db)); n != 2 {
		t.Errorf("%d events", n)
	}
	scope := within(day, time.Hour)
	if got := totals(t, r, scope); got.Requests != 2 || got.LatencyCount != 2 || got.CostNanoUSD != 100 {
		t.Errorf("figures %+v", got)
	}
	if n := count(histogram(t, r, scope)); n != 2 {
		t.Errorf("%d latencies", n)
	}
}

func bigBatch(t *testing.T, r Repository, db *database.DB) {
	const size = 7003
	events := make([]Event, size)
	for i := range events {
		events[i] = eventAt(day.Add(time.Duration(i)*time.Second), by(int64(1+i%701)), func(e *Event) { e.LatencyMS = int64(i) })
	}
	mustAppend(t, r, events...)
	if n := len(storedEvents(t, db)); n != size {
		t.Errorf("%d events", n)
	}
	scope := within(day, 24*time.Hour)
	if got := totals(t, r, scope); got.Requests != size || got.LatencySumMS != size*(size-1)/2 {
		t.Errorf("figures %+v", got)
	}
	if n := count(histogram(t, r, scope)); n != size {
		t.Errorf("%d latencies", n)
	}
}

func concurrentAppend(t *testing.T, r Repository, _ *database.DB) {
	const writers, batches, size = 50, 4, 5
	var wg sync.WaitGroup
	failures := make(chan error, writers*batches)
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var events []Event
				for i := range size { // every writer touches the same hours, in another order
					hour := day.Add(time.Duration((w+i+b)%3) * time.Hour)
					events = append(events, eventAt(hour, by(int64(1+(w+i)%2)), func(e *Event) { e.LatencyMS = int64(1 + w) }))
				}
				failures <- r.Append(context.Background(), events)
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			t.Fatal(err)
		}
	}
	const n = writers * batches * size
	want := Figures{Requests: n, InputTokens: 10 * n, OutputTokens: 20 * n, InputBytes: 30 * n, OutputBytes: 40 * n, CostNanoUSD: 50 * n,
		LatencySumMS: batches * size * writers * (writers + 1) / 2, LatencyCount: n, TTFTSumMS: 40 * n, TTFTCount: n}
	scope := within(day, 24*time.Hour)
	if diff := cmp.Diff(want, totals(t, r, scope)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := count(histogram(t, r, scope)); got != n {
		t.Errorf("%d latencies, want %d", got, n)
	}
}

func concurrentSame(t *testing.T, r Repository, _ *database.DB) {
	var events []Event
	for i := range 20 {
		events = append(events, eventAt(day.Add(time.Duration(i)*time.Minute)))
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := r.Append(context.Background(), events); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := totals(t, r, within(day, time.Hour)); got.Requests != 20 {
		t.Errorf("%d requests", got.Requests)
	}
}

func cancelledAppend(t *testing.T, r Repository, db *database.DB) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Append(ended, []Event{eventAt(day)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.Append(ended, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing to append: got %v", err)
	}
	if err := r.DetachUser(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("DetachUser: got %v", err)
	}
	if _, err := r.DeleteEvents(ended, day, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("DeleteEvents: got %v", err)
	}
	if len(storedEvents(t, db)) != 0 || totals(t, r, within(day, time.Hour)).Requests != 0 {
		t.Error("something was written")
	}
}

func allOrNothing(t *testing.T, r Repository, db *database.DB) {
	// The rollups are written last: take their table away.
	if _, err := db.Handle().ExecContext(t.Context(), "ALTER TABLE analytics_latencies RENAME TO away"); err != nil {
		t.Fatal(err)
	}
	if err := r.Append(t.Context(), []Event{eventAt(day)}); err == nil {
		t.Fatal("want an error")
	}
	if len(storedEvents(t, db)) != 0 || totals(t, r, within(day, time.Hour)).Requests != 0 {
		t.Error("half of the batch was kept")
	}
}

func timeZones(t *testing.T, r Repository, _ *database.DB) {
	// 00:15 of the 14th in UTC+5:45 is 18:30 of the 13th in UTC.
	kathmandu := time.Date(2026, 3, 14, 0, 15, 0, 0, time.FixedZone("NPT", 5*3600+45*60))
	mustAppend(t, r, eventAt(kathmandu))
	hour := time.Date(2026, 3, 13, 18, 0, 0, 0, time.UTC)
	rollups, err := r.ListRollups(t.Context(), within(day.Add(-24*time.Hour), 48*time.Hour), Group{Step: StepHour})
	if err != nil || len(rollups) != 1 || !rollups[0].Start.Equal(hour) || rollups[0].Start.Location() != time.UTC {
		t.Errorf("got %v, %v", rollups, err)
	}
	zoned := within(hour.In(kathmandu.Location()), time.Hour)
	if got := totals(t, r, zoned); got.Requests != 1 {
		t.Errorf("scope in another zone: %d", got.Requests)
	}
	if deleted, err := r.DeleteEvents(t.Context(), kathmandu.Add(time.Millisecond), 10); err != nil || deleted != 1 {
		t.Errorf("deleted %d, %v", deleted, err)
	}
}

func scopes(t *testing.T, r Repository, _ *database.DB) {
	mustAppend(t, r,
		eventAt(day), eventAt(day.Add(time.Hour-time.Millisecond)), eventAt(day.Add(time.Hour)), eventAt(day.Add(-time.Millisecond)),
		eventAt(day, by(2)), eventAt(day, by(0)), eventAt(day, of("image", "local", "local/canvas"), ended(StatusFailed)))
	hour := within(day, time.Hour)
	image := hour
	image.Service = "image"
	for _, c := range []struct {
		name   string
		scope  Scope
		want   int64
		failed int64
	}{
		{"the start is in, the end is not", hour, 5, 1},
		{"one user", ofUser(hour, 1), 3, 1},
		{"another user", ofUser(hour, 2), 1, 0},
		{"anonymous callers", ofUser(hour, 0), 1, 0},
		{"an unknown user", ofUser(hour, 99), 0, 0},
		{"one service", image, 1, 1},
		{"one service of another user", ofUser(image, 2), 0, 0},
		{"an empty scope", Scope{}, 0, 0},
	} {
		got := totals(t, r, c.scope)
		if got.Requests != c.want || got.Failed != c.failed {
			t.Errorf("%s: %d requests, %d failed", c.name, got.Requests, got.Failed)
		}
		if n := count(histogram(t, r, c.scope)); n != c.want-c.failed {
			t.Errorf("%s: %d latencies", c.name, n)
		}
	}
	if n, err := r.CountUsers(t.Context(), hour); err != nil || n != 2 {
		t.Errorf("%d active users, %v", n, err)
	}
	first, last, err := r.FindSpan(t.Context(), ofUser(within(day.Add(-time.Hour), 3*time.Hour), 1))
	if err != nil || !first.Equal(day.Add(-time.Millisecond)) || !last.Equal(day.Add(time.Hour)) {
		t.Errorf("span %v to %v, %v", first, last, err)
	}
}

func groups(t *testing.T, r Repository, _ *database.DB) {
	mustAppend(t, r,
		eventAt(day.Add(25*time.Hour), of("image", "b", "z")), eventAt(day.Add(25*time.Hour), of("image", "b", "Z")),
		eventAt(day.Add(23*time.Hour), of("chat", "b", "z")), eventAt(day, of("chat", "b", "z"), by(2)), eventAt(day, of("chat", "a", "z")))
	scope := within(day, 48*time.Hour)
	for _, c := range []struct {
		group Group
		want  string
	}{
		{Group{}, "-/// 5"},
		{Group{Step: StepDay}, "14/// 3, 15/// 2"},
		{Group{Service: true}, "-/chat// 3, -/image// 2"},
		{Group{Model: true}, "-//a/z 1, -//b/Z 1, -//b/z 3"},
		{Group{Step: StepDay, Service: true, Model: true}, "14/chat/a/z 1, 14/chat/b/z 2, 15/image/b/Z 1, 15/image/b/z 1"},
	} {
		rollups, err := r.ListRollups(t.Context(), scope, c.group)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, g := range rollups {
			start := "-"
			if !g.Start.IsZero() {
				start = g.Start.Format("02")
			}
			list = append(list, fmt.Sprintf("%s/%s/%s/%s %d", start, g.Service, g.Provider, g.Model, g.Requests))
		}
		if got := strings.Join(list, ", "); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.group, got, c.want)
		}
	}
	latencies, err := r.ListLatencies(t.Context(), scope, Group{Service: true, Model: true})
	if err != nil || len(latencies) != 4 || latencies[1].Provider != "b" || count(latencies[1].Latencies) != 2 {
		t.Errorf("latencies %v, %v", latencies, err)
	}
}

func topUsers(t *testing.T, r Repository, _ *database.DB) {
	var events []Event
	for user, n := range map[int64]int{0: 9, 1: 2, 2: 5, 3: 2, 4: 1} {
		for range n {
			events = append(events, eventAt(day, by(user)))
		}
	}
	mustAppend(t, r, events...)
	users, err := r.ListTopUsers(t.Context(), within(day, time.Hour), 3)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, u := range users {
		ids = append(ids, u.UserID)
	}
	if diff := cmp.Diff([]int64{2, 1, 3}, ids); diff != "" || users[0].Requests != 5 || users[0].CostNanoUSD != 250 {
		t.Errorf("users %+v", users)
	}
}

func erase(t *testing.T, r Repository, db *database.DB) {
	year := 365 * 24 * time.Hour
	var events []Event
	for i := range 40 { // more months than one step moves, some in the same hours as user 2's
		at := day.Add(time.Duration(i*9) * 24 * time.Hour)
		events = append(events, eventAt(at), eventAt(at, func(e *Event) { e.LatencyMS = 7 }), eventAt(at, by(2)), eventAt(at, by(3)))
	}
	mustAppend(t, r, events...)
	scope := within(day, 2*year)
	before, latencies := totals(t, r, scope), histogram(t, r, scope)
	for range 2 { // the second time does nothing
		if err := r.DetachUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.DetachUser(t.Context(), 2); err != nil { // merges into the rows of user 1
		t.Fatal(err)
	}
	for _, user := range []int64{0, -1, 99} {
		if err := r.DetachUser(t.Context(), user); err != nil {
			t.Errorf("user %d: %v", user, err)
		}
	}
	if diff := cmp.Diff(before, totals(t, r, scope)); diff != "" {
		t.Errorf("sums over everyone changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(latencies, histogram(t, r, scope)); diff != "" {
		t.Errorf("histogram changed (-want +got):\n%s", diff)
	}
	for user, want := range map[int64]int64{1: 0, 2: 0, 3: 40, ErasedUser: 120} {
		if got := totals(t, r, ofUser(scope, user)).Requests; got != want {
			t.Errorf("user %d: %d requests, want %d", user, got, want)
		}
		if got := count(histogram(t, r, ofUser(scope, user))); got != want {
			t.Errorf("user %d: %d latencies, want %d", user, got, want)
		}
	}
	for _, e := range storedEvents(t, db) {
		named := strings.Contains(e.Metadata, "object-1") || e.RequestID != ""
		if erased := *e.UserID == ErasedUser; erased == named || *e.UserID == 1 || !strings.Contains(e.Metadata, "http_status") {
			t.Fatalf("event %+v", e)
		}
	}
}

func eraseConcurrently(t *testing.T, r Repository, _ *database.DB) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				events := []Event{eventAt(day.Add(time.Duration(i%3) * time.Hour)), eventAt(day.Add(time.Duration((i+w)%4)*time.Hour), by(2))}
				if err := r.Append(context.Background(), events); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, user := range []int64{1, 2} {
		wg.Go(func() {
			for range 5 {
				if err := r.DetachUser(context.Background(), user); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	scope := within(day, 24*time.Hour)
	if got := totals(t, r, scope); got.Requests != 160 || got.CostNanoUSD != 8000 {
		t.Errorf("%d requests, cost %d", got.Requests, got.CostNanoUSD)
	}
	if n := count(histogram(t, r, scope)); n != 160 {
		t.Errorf("%d latencies", n)
	}
}

func deleteEvents(t *testing.T, r Repository, db *database.DB) {
	for i := range 5 {
		mustAppend(t, r, eventAt(day.Add(time.Duration(i)*time.Millisecond)))
	}
	before := day.Add(3 * time.Millisecond)
	for _, want := range []int64{2, 1, 0} {
		if deleted, err := r.DeleteEvents(t.Context(), before, 2); err != nil || deleted != want {
			t.Errorf("deleted %d, %v; want %d", deleted, err, want)
		}
	}
	left := storedEvents(t, db)
	if len(left) != 2 || left[0].TS.Before(before) || left[1].TS.Before(before) {
		t.Errorf("left %+v", left)
	}
	if got := totals(t, r, within(day, time.Hour)); got.Requests != 5 {
		t.Errorf("%d requests in the sums", got.Requests)
	}
}
