package outbound

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/fault"
)

func TestAPlaceIsHeldUntilTheBodyIsClosed(t *testing.T) {
	f := newFake(t, Limits{Policy: Policy{Concurrency: 1, QueueWait: time.Minute}}, quick)
	response, err := f.client.Do(t.Context(), f.request())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- f.call(t.Context()) }()
	eventually(t, "the second call waits", func() bool { return f.client.Status().Waiting == 1 })
	if got := f.client.Status(); got.InFlight != 1 || f.asked.Load() != 1 {
		t.Errorf("asked %d times, knows %+v", f.asked.Load(), got)
	}
	_, _ = response.Body.Close(), response.Body.Close() // the second one gives nothing back
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := f.client.Status(); got.InFlight != 0 || got.Waiting != 0 || got.Calls[Answered] != 2 {
		t.Errorf("knows %+v", got)
	}
}

func TestWhoFindsNoPlaceHearsSo(t *testing.T) {
	for name, test := range map[string]struct {
		policy  Policy
		waiting int // others in the queue
	}{
		"the wait is over":  {Policy{QueueWait: 20 * time.Millisecond}, 0},
		"the queue is full": {Policy{QueueWait: time.Hour, QueueLength: 2}, 2},
		"nobody may wait":   {Policy{QueueWait: -1}, 0},
		"there is no queue": {Policy{QueueLength: -1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			test.policy.Concurrency = 1
			f := newFake(t, Limits{Policy: test.policy}, quick)
			response, err := f.client.Do(t.Context(), f.request())
			if err != nil {
				t.Fatal(err)
			}
			others := make(chan error)
			for range test.waiting {
				go func() { others <- f.call(t.Context()) }()
			}
			eventually(t, "the others wait", func() bool { return f.client.Status().Waiting == int64(test.waiting) })
			failure := faultOf(t, f.call(t.Context()))
			if failure.Kind != fault.Unavailable || failure.Code != "provider_busy" || failure.RetryAfter != time.Second || failure.Extra["provider"] != "acme" {
				t.Errorf("got %v, again in %s", failure, failure.RetryAfter)
			}
			_ = response.Body.Close()
			for range test.waiting {
				if err := <-others; err != nil {
					t.Errorf("who waited: %v", err)
				}
			}
			if got := f.client.Status(); got.Calls[Busy] != 1 || got.InFlight != 0 || got.Waiting != 0 || got.Resting {
				t.Errorf("knows %+v", got)
			}
		})
	}
}

func TestWhoLeavesTheQueueTakesNoPlace(t *testing.T) {
	f := newFake(t, Limits{Policy: Policy{Concurrency: 1, QueueWait: time.Hour}}, quick)
	response, err := f.client.Do(t.Context(), f.request())
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.call(ctx) }()
	eventually(t, "the second call waits", func() bool { return f.client.Status().Waiting == 1 })
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_ = response.Body.Close()
	if got := f.client.Status(); got.InFlight != 0 || got.Waiting != 0 || got.Calls[Left] != 1 {
		t.Errorf("knows %+v", got)
	}
}

func TestNoMoreThanTheLimitAreUnderWay(t *testing.T) {
	const limit, calls = 3, 40
	f := newFake(t, Limits{Policy: Policy{Concurrency: limit, QueueWait: time.Minute}}, quick)
	var now, most atomic.Int64
	f.answers(func(http.ResponseWriter, *http.Request) {
		inside := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); inside > seen && !most.CompareAndSwap(seen, inside); seen = most.Load() {
		}
		time.Sleep(time.Millisecond)
	})
	done := make(chan error)
	for range calls {
		go func() { done <- f.call(t.Context()) }()
	}
	for range calls {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > limit {
		t.Errorf("%d were under way at once", most.Load())
	}
}

func TestEveryFailureGivesItsPlaceBack(t *testing.T) {
	f := newFake(t, Limits{FirstByte: 20 * time.Millisecond, Policy: Policy{Concurrency: 1, QueueWait: -1}}, quick)
	for _, answer := range []http.HandlerFunc{status(400), status(503), drop, hang} {
		f.answers(answer)
		if err := f.call(t.Context()); err == nil || fault.CodeOf(err) == "provider_busy" {
			t.Errorf("got %v", err)
		}
	}
}

func TestCallsOfOnePieceOfWorkTakeOnePlace(t *testing.T) {
	f := newFake(t, Limits{Policy: Policy{Concurrency: 1, QueueWait: -1}}, quick)
	other := newFake(t, Limits{}, quick)
	holding, release, err := f.client.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.call(holding); err != nil {
			t.Error(err)
		}
	}
	if err := other.call(holding); err != nil || other.client.Status().InFlight != 0 {
		t.Errorf("another client: %v", err)
	}
	if got := f.client.Status(); got.InFlight != 1 {
		t.Errorf("between the calls %+v", got)
	}
	if err := f.call(t.Context()); fault.CodeOf(err) != "provider_busy" {
		t.Errorf("another call: %v", err)
	}
	if _, _, err := f.client.Hold(t.Context()); fault.CodeOf(err) != "provider_busy" {
		t.Errorf("other work: %v", err)
	}
	release()
	release()
	if err := f.call(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
	if got := f.client.Status(); got.InFlight != 0 || got.Calls[Busy] != 2 {
		t.Errorf("in the end %+v", got)
	}
}
