package analytics

import (
	"context"
	"encoding/json"
	"errors"
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

// store is an engine under test.
type store struct {
	sql       *database.DB // one of these is nil
	documents *database.Mongo
}

func (s store) repository() Repository {
	if s.sql != nil {
		return NewRepository(s.sql)
	}
	return NewMongoRepository(s.documents)
}

// eachStore runs test on every engine, empty.
func eachStore(t *testing.T, test func(t *testing.T, s store)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { test(t, store{sql: db}) })
	t.Run("mongo", func(t *testing.T) { test(t, mongoStore(t)) })
}

func mongoStore(t testing.TB) store {
	t.Helper()
	db := testkit.Mongo(t)
	if err := EnsureIndexes(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return store{documents: db}
}

func storedEvents(t testing.TB, s store) []storedEvent {
	t.Helper()
	if s.sql == nil {
		return storedDocuments(t, s.documents)
	}
	db := s.sql
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
		run  func(t *testing.T, r Repository, s store)
	}{
		{"an event and its rollup hold every figure", roundTrip},
		{"zero values and strange text are kept", zeroValues},
		{"an event counts once however often it is appended", appendedTwice},
		{"a batch above the parameter limits is stored completely", bigBatch},
		{"fifty writers lose no increment", concurrentAppend},
		{"the same events from many writers count once", concurrentSame},
		{"an ended context writes nothing", cancelledAppend},
		{"any time zone falls into its UTC hour", timeZones},
		{"scopes keep users, services and periods apart", scopes},
		{"groups are summed and in order", groups},
		{"top users are ordered and bounded", topUsers},
		{"an erased account leaves only sums", erase},
		{"erasing while events arrive loses nothing", eraseConcurrently},
		{"old events go and sums stay", deleteEvents},
		{"any window is the sum of its events", comparedAsEvents},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store) { c.run(t, s.repository(), s) })
		})
	}
}

func roundTrip(t *testing.T, r Repository, s store) {
	e := eventAt(day.Add(90*time.Minute+123*time.Millisecond), func(e *Event) { e.Estimated, e.Code = true, "x" })
	mustAppend(t, r, e)
	stored := storedEvents(t, s)
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

func zeroValues(t *testing.T, r Repository, s store) {
	empty := Event{ID: uid.New(day), At: day, Service: "image", Status: StatusRefused}
	odd := eventAt(day, of("chat", "p'\"%_;--", "модель 🎨"))
	mustAppend(t, r, empty, odd)
	stored := storedEvents(t, s)
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

func appendedTwice(t *testing.T, r Repository, s store) {
	first, second := eventAt(day), eventAt(day.Add(time.Minute))
	mustAppend(t, r, first, first)
	mustAppend(t, r, second, first, second)
	mustAppend(t, r, first)
	if n := len(storedEvents(t, s)); n != 2 {
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

func bigBatch(t *testing.T, r Repository, s store) {
	size, users := 2053, 101 // of 17 parameters each: SQLite takes 32,766
	if s.documents != nil {
		size, users = 1703, 7 // more than one batch: the tests' server is slow, and there are no parameters
	}
	events := make([]Event, size)
	for i := range events {
		events[i] = eventAt(day.Add(time.Duration(i)*time.Second), by(int64(1+i%users)), func(e *Event) { e.LatencyMS = int64(i) })
	}
	persist(t, func() error { return r.Append(t.Context(), events) })
	settled(t, s)
	if n := len(storedEvents(t, s)); n != size {
		t.Errorf("%d events", n)
	}
	scope := within(day, 24*time.Hour)
	if got := totals(t, r, scope); got.Requests != int64(size) || got.LatencySumMS != int64(size*(size-1)/2) {
		t.Errorf("figures %+v", got)
	}
	if n := count(histogram(t, r, scope)); n != int64(size) {
		t.Errorf("%d latencies", n)
	}
}

func concurrentAppend(t *testing.T, r Repository, s store) {
	const writers, batches, size = 50, 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var events []Event
				for i := range size { // every writer touches the same hours, in another order
					hour := day.Add(time.Duration((w+i+b)%3) * time.Hour)
					events = append(events, eventAt(hour, by(int64(1+(w+i)%2)), func(e *Event) { e.LatencyMS = int64(1 + w) }))
				}
				persist(t, func() error { return r.Append(t.Context(), events) })
			}
		})
	}
	wg.Wait()
	settled(t, s)
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

func concurrentSame(t *testing.T, r Repository, s store) {
	var events []Event
	for i := range 20 {
		events = append(events, eventAt(day.Add(time.Duration(i)*time.Minute)))
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { persist(t, func() error { return r.Append(t.Context(), events) }) })
	}
	wg.Wait()
	settled(t, s)
	if got := totals(t, r, within(day, time.Hour)); got.Requests != 20 {
		t.Errorf("%d requests", got.Requests)
	}
}

func cancelledAppend(t *testing.T, r Repository, s store) {
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
	if len(storedEvents(t, s)) != 0 || totals(t, r, within(day, time.Hour)).Requests != 0 {
		t.Error("something was written")
	}
}

// On an engine with transactions the rollups and the events are kept together;
// TestAnInterruptedAppendIsCompletedOnce is about one without.
func TestOneBadEventKeepsTheWholeBatchOut(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := NewRepository(db)
		// The rollups are written last: take their table away.
		if _, err := db.Handle().ExecContext(t.Context(), "ALTER TABLE analytics_latencies RENAME TO away"); err != nil {
			t.Fatal(err)
		}
		if err := r.Append(t.Context(), []Event{eventAt(day)}); err == nil {
			t.Fatal("want an error")
		}
		if len(storedEvents(t, store{sql: db})) != 0 || totals(t, r, within(day, time.Hour)).Requests != 0 {
			t.Error("half of the batch was kept")
		}
	})
}
