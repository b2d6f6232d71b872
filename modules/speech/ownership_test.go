package speech

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
)

func TestRepositoryLetsOneOfManyClaimAConversion(t *testing.T) {
	eachRepository(t, func(t *testing.T, repo Repository) {
		c := newConversion(testTime, nil)
		c.Instance = "one"
		mustCreate(t, repo, c)
		var won atomic.Int32
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				switch err := repo.Claim(t.Context(), c, "server "+string(rune('a'+i))); {
				case err == nil:
					won.Add(1)
				case !fault.Is(err, fault.Conflict):
					t.Error(err)
				}
			})
		}
		group.Wait()
		found, err := repo.Find(t.Context(), c.ID)
		if err != nil || won.Load() != 1 || found.Instance == "one" || found.Status != StatusProcessing {
			t.Fatalf("%d won; %+v, %v", won.Load(), found, err)
		}
		failed := c
		failed.Status, failed.Failure = StatusFailed, &Failure{Code: codeInterrupted, Detail: "d"}
		if err := repo.Finish(t.Context(), failed); !fault.Is(err, fault.Conflict) {
			t.Errorf("the first owner still finishes it: %v", err)
		}
		failed.Instance = found.Instance
		if err := repo.Finish(t.Context(), failed); err != nil {
			t.Fatal(err)
		}
		if err := repo.Claim(t.Context(), found, "one"); !fault.Is(err, fault.Conflict) {
			t.Errorf("what is finished is claimed as processing: %v", err)
		}
		if err := repo.Claim(t.Context(), failed, "one"); err != nil {
			t.Fatal(err)
		}
		found, err = repo.Find(t.Context(), c.ID)
		if err != nil || found.Instance != "one" || found.Status != StatusProcessing || found.Failure != nil {
			t.Errorf("%+v, %v", found, err)
		}
		erasure, err := repo.BeginErasure(t.Context(), c.ID)
		if err != nil || erasure.Instance != "one" || !erasure.Processing {
			t.Errorf("%+v, %v", erasure, err)
		}
		if err := repo.Claim(t.Context(), found, "two"); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is gone is claimed: %v", err)
		}
	})
}

// neighbour is a second server on the same database and bucket, which believes
// of the first what living says.
func (b *bench) neighbour(bucket blob.Bucket, living map[string]bool) *bench {
	second := *b
	deps := b.deps(bucket)
	deps.Instance = "second"
	deps.Living = func(context.Context) (map[string]bool, error) { return living, nil }
	second.Module = newModule(&catalog{}, &transcoder{}, deps)
	return &second
}

func (b *bench) mustReconcile(t *testing.T, want int) {
	t.Helper()
	if n, err := b.Reconcile(t.Context()); n != want || err != nil {
		t.Errorf("reconciled %d, want %d, %v", n, want, err)
	}
}

// speaking starts the server "first" with a conversion on its way that ends
// with err.
func speaking(t *testing.T, err error) (b *bench, release func(), done chan error) {
	t.Helper()
	provider := newFake(t, "fake")
	called, released := make(chan struct{}), make(chan struct{})
	speak := provider.serve
	provider.serve = func(ctx context.Context, u utterance) (recording, error) {
		close(called)
		<-released
		if err != nil {
			return recording{}, err
		}
		return speak(ctx, u)
	}
	b = newBench(t, provider)
	b.service.instance = "first"
	release, done = sync.OnceFunc(func() { close(released) }), make(chan error, 1)
	t.Cleanup(release)
	go func() { _, err := b.service.Generate(as(t, 1), ask("x")); done <- err }()
	<-called
	return b, release, done
}

func TestALivingServersConversionsAreLeftAloneUntilTheyAreOverdue(t *testing.T) {
	b, release, done := speaking(t, nil)
	second := b.neighbour(b.bucket, map[string]bool{"first": true})
	second.mustReconcile(t, 0)
	b.clock.Advance(overdue + time.Second)
	second.mustReconcile(t, 1)
	b.mustHaveFailed(t, StatusFailed, "interrupted")
	release()
	<-done
}

func TestAConversionWronglyTakenForInterruptedTakesItsTrueOutcome(t *testing.T) {
	t.Run("made", func(t *testing.T) {
		b, release, done := speaking(t, nil)
		b.neighbour(b.bucket, nil).mustReconcile(t, 1)
		b.mustHaveFailed(t, StatusFailed, "interrupted")
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b.mustHaveCompletedOne(t)
	})
	t.Run("failed", func(t *testing.T) {
		b, release, done := speaking(t, outage("fake"))
		b.neighbour(b.bucket, nil).mustReconcile(t, 1)
		release()
		if err := <-done; fault.CodeOf(err) != "provider_unavailable" {
			t.Fatal(err)
		}
		b.mustHaveFailed(t, StatusFailed, "provider_unavailable")
	})
}

// mustHaveCompletedOne fails unless row, record, sound and one line agree.
func (b *bench) mustHaveCompletedOne(t *testing.T) {
	t.Helper()
	c := b.rows(t)[0]
	var record recordDocument
	err := errors.Join(b.service.ledger.ReadRecord(t.Context(), c.ID, &record))
	if err != nil || c.Status != StatusCompleted || record.Status != string(StatusCompleted) {
		t.Errorf("row %+v, record %s, %v", c, record.Status, err)
	}
	if _, err := b.bucket.Stat(t.Context(), c.MediaKey()); err != nil {
		t.Errorf("sound: %v", err)
	}
	index, err := blob.ReadAll(t.Context(), b.bucket, b.service.ledger.IndexKey(1, c.CreatedAt), 1<<20)
	if err != nil || strings.Count(string(index), c.ID+`"`) != 1 {
		t.Errorf("index %q, %v", index, err)
	}
}

// halting is a bucket that stops at its first deletion until it is released.
// Deletions then fail with err.
type halting struct {
	blob.Bucket
	once              *sync.Once
	reached, released chan struct{}
	err               error
}

func (h halting) Delete(ctx context.Context, key string) error {
	h.once.Do(func() { close(h.reached) })
	<-h.released
	if h.err != nil {
		return h.err
	}
	return h.Bucket.Delete(ctx, key)
}

func TestAConversionThatEndsWhileItIsTakenOverWaitsAndWins(t *testing.T) {
	b, release, done := speaking(t, nil)
	halted := halting{b.bucket, &sync.Once{}, make(chan struct{}), make(chan struct{}), nil}
	second := b.neighbour(halted, nil)
	settled := make(chan struct{})
	go func() { second.mustReconcile(t, 1); close(settled) }()
	<-halted.reached
	release()
	b.waitForARecord(t)
	select {
	case err := <-done:
		t.Errorf("answered while another server was settling it: %v", err)
	default:
	}
	close(halted.released)
	<-settled
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.mustHaveCompletedOne(t)
}

func (b *bench) waitForARecord(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(strings.Join(b.objects(t), " "), "record.json"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first server has not written its record in 20 s")
		}
	}
}

func TestARequestWhoseConversionIsGivenBackPutsItsOutcomeInPlace(t *testing.T) {
	b, release, done := speaking(t, nil)
	away := fault.New(fault.Unavailable, "storage_unavailable", "down")
	halted := halting{b.bucket, &sync.Once{}, make(chan struct{}), make(chan struct{}), away}
	second := b.neighbour(halted, nil)
	settled := make(chan error)
	go func() { _, err := second.Reconcile(t.Context()); settled <- err }()
	<-halted.reached
	release()
	b.waitForARecord(t)
	close(halted.released)
	if err := <-settled; err == nil {
		t.Error("it was settled")
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer in 20 s")
	}
	b.mustHaveCompletedOne(t)
}
