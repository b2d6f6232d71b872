package analytics

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func erase(t *testing.T, r Repository, s store) {
	year := 365 * 24 * time.Hour
	var events []Event
	for i := range 40 { // more months than one step moves, some in the same hours as user 2's
		at := day.Add(time.Duration(i*9) * 24 * time.Hour)
		events = append(events, eventAt(at), eventAt(at, func(e *Event) { e.LatencyMS = 7 }), eventAt(at, by(2)), eventAt(at, by(3)))
	}
	persist(t, func() error { return r.Append(t.Context(), events) })
	settled(t, s)
	scope := within(day, 2*year)
	before, latencies := totals(t, r, scope), histogram(t, r, scope)
	for range 2 { // the second time does nothing
		persist(t, func() error { return r.DetachUser(t.Context(), 1) })
	}
	persist(t, func() error { return r.DetachUser(t.Context(), 2) }) // merges into the rows of user 1
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
	for _, e := range storedEvents(t, s) {
		named := strings.Contains(e.Metadata, "object-1") || e.RequestID != ""
		if erased := *e.UserID == ErasedUser; erased == named || *e.UserID == 1 || !strings.Contains(e.Metadata, "http_status") {
			t.Fatalf("event %+v", e)
		}
	}
}

func eraseConcurrently(t *testing.T, r Repository, s store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				events := []Event{eventAt(day.Add(time.Duration(i%3) * time.Hour)), eventAt(day.Add(time.Duration((i+w)%4)*time.Hour), by(2))}
				persist(t, func() error { return r.Append(t.Context(), events) })
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			persist(t, func() error {
				_, err := r.DeleteEvents(t.Context(), day.Add(time.Hour), 10)
				return err
			})
		}
	})
	for _, user := range []int64{1, 2, 1} {
		wg.Go(func() {
			for range 5 {
				persist(t, func() error { return r.DetachUser(t.Context(), user) })
			}
		})
	}
	wg.Wait()
	settled(t, s)
	scope := within(day, 24*time.Hour)
	if got := totals(t, r, scope); got.Requests != 320 || got.CostNanoUSD != 16000 {
		t.Errorf("%d requests, cost %d", got.Requests, got.CostNanoUSD)
	}
	if n := count(histogram(t, r, scope)); n != 320 {
		t.Errorf("%d latencies", n)
	}
}

func deleteEvents(t *testing.T, r Repository, s store) {
	for i := range 5 {
		mustAppend(t, r, eventAt(day.Add(time.Duration(i)*time.Millisecond)))
	}
	before := day.Add(3 * time.Millisecond)
	for _, want := range []int64{2, 1, 0} {
		if deleted, err := r.DeleteEvents(t.Context(), before, 2); err != nil || deleted != want {
			t.Errorf("deleted %d, %v; want %d", deleted, err, want)
		}
	}
	left := storedEvents(t, s)
	if len(left) != 2 || left[0].TS.Before(before) || left[1].TS.Before(before) {
		t.Errorf("left %+v", left)
	}
	if got := totals(t, r, within(day, time.Hour)); got.Requests != 5 {
		t.Errorf("%d requests in the sums", got.Requests)
	}
}
