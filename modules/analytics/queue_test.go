package analytics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// fakeStore is storage that fails as told.
type fakeStore struct {
	mu      sync.Mutex
	fail    func(attempt int, events []Event) error // nil = never
	attempt int
	batches [][]Event
	seen    map[string]int
}

func (s *fakeStore) append(ctx context.Context, events []Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempt++
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.fail != nil {
		if err := s.fail(s.attempt, events); err != nil {
			return err
		}
	}
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	s.batches = append(s.batches, append([]Event(nil), events...))
	for _, e := range events {
		s.seen[e.ID]++
	}
	return nil
}

// once reports how many events were stored, and fails when one was stored twice.
func (s *fakeStore) once(t *testing.T) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.seen {
		if n != 1 {
			t.Errorf("event %s stored %d times", id, n)
		}
	}
	return len(s.seen)
}

// soon returns a context that ends in a minute, so that a defect fails a test
// instead of hanging it.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func pointerTo(e Event) *Event { return &e }

var down = fault.New(fault.Unavailable, "database_unavailable", "down")

func checkStats(t *testing.T, q *queue, want Stats) {
	t.Helper()
	if got := q.stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestQueueStoresAfterTwoHundredMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		q := startQueue(maxBatch, store.append, testkit.Logger())
		for range 3 {
			q.add(pointerTo(eventAt(day)))
		}
		time.Sleep(maxWait - time.Millisecond) // the clock of the bubble: no real time passes
		synctest.Wait()
		checkStats(t, q, Stats{Queued: 3})
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		checkStats(t, q, Stats{Recorded: 3})
		if err := q.close(soon(t)); err != nil || len(store.batches) != 1 {
			t.Errorf("%d batches, %v", len(store.batches), err)
		}
	})
}

func TestQueueStoresFullBatchesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		q := startQueue(3*maxBatch, store.append, testkit.Logger())
		for range 2*maxBatch + 1 {
			q.add(pointerTo(eventAt(day)))
		}
		synctest.Wait()
		checkStats(t, q, Stats{Queued: 1, Recorded: 2 * maxBatch})
		if err := q.close(soon(t)); err != nil || store.once(t) != 2*maxBatch+1 || len(store.batches) != 3 {
			t.Errorf("%d events in %d batches, %v", store.once(t), len(store.batches), err)
		}
	})
}

func TestFullQueueDropsAndNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{fail: func(int, []Event) error { return down }}
		q := startQueue(maxBatch, store.append, testkit.Logger())
		q.add(pointerTo(eventAt(day)))
		time.Sleep(time.Second)
		synctest.Wait()
		start := time.Now()
		for range 3 * maxBatch {
			q.add(pointerTo(eventAt(day)))
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("add waited %v", waited)
		}
		// The goroutine pauses between attempts: nothing but the channel takes events.
		stats := q.stats()
		if stats.Dropped != 2*maxBatch || stats.Queued != maxBatch+1 {
			t.Errorf("stats %+v", stats)
		}
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		if err := q.close(soon(t)); err != nil || store.once(t) != maxBatch+1 {
			t.Errorf("%d events, %v", store.once(t), err)
		}
	})
}

func TestStorageDownThenUpLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{fail: func(attempt int, _ []Event) error {
			if attempt <= 10 {
				return down
			}
			return nil
		}}
		var log bytes.Buffer
		q := startQueue(10*maxBatch, store.append, slog.New(slog.NewTextHandler(&log, nil)))
		for range 2000 {
			q.add(pointerTo(eventAt(day)))
			time.Sleep(time.Millisecond)
		}
		waiting, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.settle(waiting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("settle while down: %v", err)
		}
		if err := q.settle(soon(t)); err != nil || store.once(t) != 2000 {
			t.Errorf("%d events stored, %v", store.once(t), err)
		}
		checkStats(t, q, Stats{Recorded: 2000, FailedBatches: 10})
		if n := strings.Count(log.String(), "database_unavailable"); n < 10 {
			t.Errorf("%d lines in the log", n)
		}
		if err := q.close(soon(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAttemptWhoseAnswerWasLostCountsOnce(t *testing.T) {
	db := testkit.SQLite(t)
	r := NewRepository(db)
	lost := true
	q := startQueue(maxBatch, func(ctx context.Context, events []Event) error {
		err := r.Append(ctx, events)
		if lost && err == nil {
			lost = false
			return down
		}
		return err
	}, testkit.Logger())
	q.add(pointerTo(eventAt(day)))
	if err := q.close(soon(t)); err != nil || totals(t, r, within(day, time.Hour)).Requests != 1 {
		t.Errorf("%+v, %v", totals(t, r, within(day, time.Hour)), err)
	}
}

func TestOnePoisonousEventDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := eventAt(day)
		store := &fakeStore{fail: func(_ int, events []Event) error {
			for _, e := range events {
				if e.ID == poison.ID {
					return fault.New(fault.Internal, "internal", "no")
				}
			}
			return nil
		}}
		q := startQueue(maxBatch, store.append, testkit.Logger())
		q.add(&poison)
		time.Sleep(10 * time.Second) // alone it could be the storage: it is kept
		synctest.Wait()
		if stats := q.stats(); stats.Dropped != 0 || stats.Queued != 1 {
			t.Errorf("stats %+v", stats)
		}
		for range 5 {
			q.add(pointerTo(eventAt(day)))
		}
		if err := q.settle(soon(t)); err != nil {
			t.Error(err)
		}
		if stats := q.stats(); stats.Dropped != 1 || stats.Recorded != 5 || stats.Queued != 0 || store.once(t) != 5 {
			t.Errorf("stats %+v", stats)
		}
		if err := q.close(soon(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestSettleSeesWhatWasAddedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		q := startQueue(10*maxBatch, store.append, testkit.Logger())
		start := time.Now()
		if err := q.settle(soon(t)); err != nil || store.attempt != 0 {
			t.Errorf("nothing queued: %d attempts, %v", store.attempt, err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				e := eventAt(day)
				q.add(&e)
				if err := q.settle(soon(t)); err != nil {
					t.Error(err)
				}
				store.mu.Lock()
				defer store.mu.Unlock()
				if store.seen[e.ID] != 1 {
					t.Error("own event not stored after settle")
				}
			})
		}
		wg.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		if err := q.close(soon(t)); err != nil || q.settle(soon(t)) != nil {
			t.Error("close or settle after close failed")
		}
	})
}

func TestCloseStoresEverythingQueued(t *testing.T) {
	store := &fakeStore{}
	q := startQueue(5000, store.append, testkit.Logger())
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for range 100 {
				q.add(pointerTo(eventAt(day)))
			}
		})
	}
	wg.Wait()
	for range 2 {
		if err := q.close(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := store.once(t); n != 4000 {
		t.Errorf("%d events stored", n)
	}
	q.add(pointerTo(eventAt(day)))
	checkStats(t, q, Stats{Recorded: 4000, Dropped: 1})
}

func TestCloseGivesUpWhenItsTimeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{fail: func(int, []Event) error { return down }}
		q := startQueue(5000, store.append, testkit.Logger())
		for range 1234 {
			q.add(pointerTo(eventAt(day)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := q.close(ctx); err == nil || !strings.Contains(err.Error(), "1234") {
			t.Errorf("got %v", err)
		}
		if stats := q.stats(); stats.Dropped != 1234 || stats.Queued != 0 {
			t.Errorf("stats %+v", stats)
		}
	})
}
