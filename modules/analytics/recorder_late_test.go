package analytics

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"llmhist/platform/outbox"
	"llmhist/platform/testkit"
)

// TestLateEventsOfAnErasedAccountAreNobodys stores events that a server left when
// it was stopped, after one of their accounts was erased.
func TestLateEventsOfAnErasedAccountAreNobodys(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		repository, away := s.repository(), true
		now := day.Add(time.Hour)
		r := &recorder{
			append: repository.Append, keep: 24 * time.Hour, now: func() time.Time { return now }, logger: testkit.Logger(),
			known: func(_ context.Context, ids []int64) ([]int64, error) {
				if away {
					away = false
					return nil, down
				}
				if !slices.Equal(ids, []int64{1, 2}) {
					t.Errorf("asked for %v", ids)
				}
				return []int64{2}, nil
			},
		}
		r, err := openRecorder(outbox.Config{Dir: filepath.Join(t.TempDir(), "outbox"), MaxBytes: 1 << 20}, r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.outbox.Close(context.Background()) }()
		young := now.Add(-time.Minute)
		for _, e := range []Event{eventAt(day), eventAt(day, by(2)), eventAt(day, by(0)), eventAt(young, by(3))} {
			r.add(&e)
		}
		if err := r.outbox.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		for user, want := range map[int64]int64{1: 0, ErasedUser: 1, 2: 1, AnonymousUser: 1, 3: 1} {
			if got := totals(t, repository, ofUser(within(day, 2*time.Hour), user)).Requests; got != want {
				t.Errorf("user %d has %d requests, want %d", user, got, want)
			}
		}
		for _, e := range storedEvents(t, s) {
			named := e.RequestID != ""
			if erased := e.UserID != nil && *e.UserID == ErasedUser; erased == named {
				t.Errorf("event %+v", e)
			}
		}
	})
}
