package analytics

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/outbox"
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

type appendFunc = func(context.Context, []Event) error

func startRecorder(t *testing.T, dir string, to appendFunc, logger *slog.Logger) *recorder {
	t.Helper()
	r, err := openRecorder(outbox.Config{Dir: dir, MaxBytes: 1 << 20},
		&recorder{append: to, keep: 24 * time.Hour, now: func() time.Time { return day.Add(time.Hour) }, logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.outbox.Close(context.Background()) })
	return r
}

func checkStats(t *testing.T, r *recorder, want Stats) {
	t.Helper()
	got := r.stats()
	if (got.Queued == 0) != got.Oldest.IsZero() || (got.Queued == 0) != (got.QueuedBytes == 0) {
		t.Errorf("stats %+v do not fit each other", got)
	}
	got.Oldest, got.QueuedBytes = time.Time{}, 0
	if got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestEventsAreStoredAfterTwoHundredMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		r := startRecorder(t, t.TempDir(), store.append, testkit.Logger())
		for range 3 {
			r.add(pointerTo(eventAt(day)))
		}
		time.Sleep(maxWait - time.Millisecond) // the clock of the bubble: no real time passes
		synctest.Wait()
		checkStats(t, r, Stats{Queued: 3})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		checkStats(t, r, Stats{Recorded: 3})
		if len(store.batches) != 1 {
			t.Errorf("%d batches", len(store.batches))
		}
	})
}

func TestAnEventComesOutOfTheOutboxAsItWasPutIn(t *testing.T) {
	whole, store := eventAt(day.Add(time.Millisecond)), &fakeStore{}
	whole.Estimated, whole.Code = true, "x"
	for i, field := 0, reflect.ValueOf(whole); i < field.NumField(); i++ {
		if field.Field(i).IsZero() {
			t.Errorf("the event of this test leaves %s empty", field.Type().Field(i).Name)
		}
	}
	bare := Event{ID: "b", At: day, Service: "image", Action: "generate", Status: StatusRefused, Provider: "line\nfeed \u2028 🎨"}
	r := startRecorder(t, t.TempDir(), store.append, testkit.Logger())
	r.add(&whole)
	r.add(&bare)
	if err := r.outbox.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]Event{{whole, bare}}, store.batches); diff != "" {
		t.Errorf("(-put +got):\n%s", diff)
	}
}

func TestWhatAnEarlierProcessLeftCountsOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		dir, repository := t.TempDir(), NewRepository(db)
		stored := true
		first := startRecorder(t, dir, func(ctx context.Context, events []Event) error {
			if stored { // and the answer is lost
				stored = false
				if err := repository.Append(ctx, events); err != nil {
					t.Error(err)
				}
			}
			return down
		}, testkit.Logger())
		for range 3 * maxBatch / 2 {
			first.add(pointerTo(eventAt(day)))
		}
		if err := first.outbox.Close(soon(t)); err != nil {
			t.Fatal(err)
		}
		// Meanwhile the account is erased: what was stored is nobody's any more.
		if err := repository.DetachUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		second := startRecorder(t, dir, repository.Append, testkit.Logger())
		if err := second.outbox.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		if got := totals(t, repository, within(day, time.Hour)).Requests; got != 3*maxBatch/2 {
			t.Errorf("%d requests, want %d", got, 3*maxBatch/2)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	})
}

func TestAnEventThatMayHaveBeenPrunedIsNotStoredAgain(t *testing.T) {
	store, dir := &fakeStore{fail: func(int, []Event) error { return down }}, t.TempDir()
	old, young := eventAt(day.Add(-24*time.Hour)), eventAt(day)
	first := startRecorder(t, dir, store.append, testkit.Logger())
	first.add(&old)
	first.add(&young)
	if err := first.outbox.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	store.fail = nil
	second := startRecorder(t, dir, store.append, testkit.Logger())
	second.add(pointerTo(eventAt(day.Add(-48 * time.Hour)))) // new, so that it can be in no store
	if err := second.outbox.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if store.seen[old.ID] != 0 || store.seen[young.ID] != 1 || store.once(t) != 2 {
		t.Errorf("stored %v", store.seen)
	}
	checkStats(t, second, Stats{Recorded: 2, Dropped: 1})
}

func TestDamagedEventsAreCountedAndNeverStopAStart(t *testing.T) {
	dir, store := t.TempDir(), &fakeStore{}
	first := startRecorder(t, dir, func(context.Context, []Event) error { return down }, testkit.Logger())
	first.add(pointerTo(eventAt(day)))
	_ = first.outbox.Add([]byte(`{"id":`))
	_ = first.outbox.Add([]byte(`{}`))
	if err := first.outbox.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	data, err := os.ReadFile(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("prompt")) {
		t.Errorf("the file says %s", data)
	}
	if err := os.WriteFile(list[0], append([]byte("noise\n"), append(data, "1234"...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	second := startRecorder(t, dir, store.append, testkit.Logger())
	if err := second.outbox.Flush(soon(t)); err != nil || store.once(t) != 1 {
		t.Errorf("%d events, %v", store.once(t), err)
	}
	checkStats(t, second, Stats{Recorded: 1, Dropped: 3})
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
		r := startRecorder(t, t.TempDir(), store.append, slog.New(slog.NewTextHandler(&log, nil)))
		for range 2000 {
			r.add(pointerTo(eventAt(day)))
			time.Sleep(time.Millisecond)
		}
		if err := r.outbox.Flush(soon(t)); err != nil || store.once(t) != 2000 {
			t.Errorf("%d events stored, %v", store.once(t), err)
		}
		checkStats(t, r, Stats{Recorded: 2000, FailedBatches: 10})
		if n := strings.Count(log.String(), "database_unavailable"); n < 2 {
			t.Errorf("%d lines in the log", n)
		}
	})
}

func TestAnAttemptWhoseAnswerWasLostCountsOnce(t *testing.T) {
	db := testkit.SQLite(t)
	repository := NewRepository(db)
	lost := true
	r := startRecorder(t, t.TempDir(), func(ctx context.Context, events []Event) error {
		err := repository.Append(ctx, events)
		if lost && err == nil {
			lost = false
			return down
		}
		return err
	}, testkit.Logger())
	r.add(pointerTo(eventAt(day)))
	if err := r.outbox.Flush(soon(t)); err != nil || totals(t, repository, within(day, time.Hour)).Requests != 1 {
		t.Errorf("%+v, %v", totals(t, repository, within(day, time.Hour)), err)
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
		r := startRecorder(t, t.TempDir(), store.append, testkit.Logger())
		r.add(&poison)
		time.Sleep(10 * time.Second) // alone it could be the storage: it is kept
		synctest.Wait()
		if stats := r.stats(); stats.Dropped != 0 || stats.Queued != 1 {
			t.Errorf("stats %+v", stats)
		}
		for range 5 {
			r.add(pointerTo(eventAt(day)))
		}
		if err := r.outbox.Flush(soon(t)); err != nil {
			t.Error(err)
		}
		if stats := r.stats(); stats.Dropped != 1 || stats.Recorded != 5 || stats.Queued != 0 || store.once(t) != 5 {
			t.Errorf("stats %+v", stats)
		}

		for i := range 10 { // together with others, only it is lost
			e := eventAt(day)
			if i == 3 {
				e.ID = poison.ID
			}
			r.add(&e)
		}
		if err := r.outbox.Flush(soon(t)); err != nil || store.once(t) != 14 || r.stats().Dropped != 2 {
			t.Errorf("%d stored, %+v, %v", store.once(t), r.stats(), err)
		}
	})
}

func TestFlushSeesWhatWasAddedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		r := startRecorder(t, t.TempDir(), store.append, testkit.Logger())
		start := time.Now()
		if err := r.outbox.Flush(soon(t)); err != nil || store.attempt != 0 {
			t.Errorf("nothing queued: %d attempts, %v", store.attempt, err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				e := eventAt(day)
				r.add(&e)
				if err := r.outbox.Flush(soon(t)); err != nil {
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
	})
}

// FuzzEvents holds that whatever is in the outbox becomes events that every
// engine can store, or is dropped.
func FuzzEvents(f *testing.F) {
	whole, err := json.Marshal(recordOf(pointerTo(eventAt(day))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"id":"a","at":-9223372036854775808,"latency_ms":-1,"model":"\u0000"}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		r := &recorder{keep: time.Hour, now: time.Now, logger: testkit.Logger()}
		for _, e := range r.events(outbox.Batch{Records: [][]byte{record}, Attempt: 1}) {
			again := e
			again.sanitize()
			if !cmp.Equal(e, again) || e.ID == "" {
				t.Errorf("not sanitized: %+v", e)
			}
		}
	})
}
