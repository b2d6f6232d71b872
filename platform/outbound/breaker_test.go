package outbound

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/platform/fault"
)

var once = Limits{Policy: Policy{Retries: -1}}

// slow is a tempo in which nothing happens by itself.
var slow = tempo{backoff: time.Millisecond, rest: time.Hour}

func (f *fake) fail(times int) {
	f.t.Helper()
	f.answers(status(500))
	for range times {
		if err := f.call(f.t.Context()); fault.CodeOf(err) != "provider_unavailable" {
			f.t.Fatalf("got %v", err)
		}
	}
}

func TestAProviderThatFailsRepeatedlyIsLeftAlone(t *testing.T) {
	f := newFake(t, once, slow)
	f.fail(breakerCalls)
	failure := faultOf(t, f.call(t.Context()))
	if failure.Code != "provider_resting" || failure.Kind != fault.Unavailable || failure.Extra["provider"] != "acme" {
		t.Errorf("got %v", failure)
	}
	if failure.RetryAfter < 59*time.Minute || !strings.Contains(failure.Detail, "asked again at") || !strings.HasSuffix(failure.Detail, "or use another model.") {
		t.Errorf("again in %s: %s", failure.RetryAfter, failure.Detail)
	}
	got := f.client.Status()
	if f.asked.Load() != breakerCalls || !got.Resting || got.RestsFor < 59*time.Minute || got.Calls[Resting] != 1 || got.Calls[Failed] != breakerCalls {
		t.Errorf("asked %d times, knows %+v", f.asked.Load(), got)
	}
}

func TestWhatCountsAsAFailure(t *testing.T) {
	leave := func(f *fake) {
		ctx, cancel := context.WithCancel(f.t.Context())
		before := f.asked.Load()
		go func() {
			defer cancel()
			for f.asked.Load() == before {
				time.Sleep(time.Millisecond)
			}
		}()
		_ = f.call(ctx)
	}
	ask := func(f *fake) { _ = f.call(f.t.Context()) }
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		act    func(*fake)
		rests  bool
	}{
		"a 500":                  {status(500), ask, true},
		"a 501":                  {status(501), ask, true},
		"no connection":          {drop, ask, true},
		"no answer in time":      {hang, ask, true},
		"a 400":                  {status(400), ask, false},
		"a 401":                  {status(401), ask, false},
		"a 429":                  {status(429), ask, false},
		"500 for lack of credit": {body(500, `{"error":{"code":"insufficient_quota"}}`), ask, false},
		"an answer":              {status(200), ask, false},
		"a caller who left":      {hang, leave, false},
	} {
		t.Run(name, func(t *testing.T) {
			limits := once
			if name == "no answer in time" {
				limits.FirstByte = 20 * time.Millisecond
			}
			f := newFake(t, limits, slow)
			f.answers(test.answer)
			for range breakerCalls {
				test.act(f)
			}
			if got := f.client.Status(); got.Resting != test.rests || got.InFlight != 0 {
				t.Errorf("knows %+v", got)
			}
		})
	}
}

func TestHalfOfTheCallsHaveToFail(t *testing.T) {
	f := newFake(t, once, slow)
	succeed := func(times int) {
		f.answers(status(200))
		for range times {
			if err := f.call(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	succeed(11)
	f.fail(10)
	if f.client.Status().Resting {
		t.Error("rests after 10 failures of 21")
	}
	f.fail(1)
	if !f.client.Status().Resting {
		t.Error("goes on after 11 failures of 22")
	}
}

func TestARetryThatHelpsIsNoFailure(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	for range 2 * breakerCalls {
		f.answers(inTurn(status(500), status(500), status(200)))
		if err := f.call(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.client.Status(); got.Resting || got.Calls[Answered] != 2*breakerCalls {
		t.Errorf("knows %+v", got)
	}
}

func TestOneCallAloneFindsOutWhetherItWorksAgain(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	f.fail(breakerCalls)
	time.Sleep(quick.rest + 5*time.Millisecond)
	probed, answer := make(chan struct{}), make(chan int)
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(probed)
		w.WriteHeader(<-answer)
	})
	f.asked.Store(0)
	done := make(chan error)
	go func() { done <- f.call(t.Context()) }()
	<-probed
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() {
			failure := faultOf(t, f.call(t.Context()))
			if failure.Code != "provider_resting" || failure.RetryAfter != time.Second || !strings.Contains(failure.Detail, "right now") {
				t.Errorf("beside the probe: %v, again in %s", failure, failure.RetryAfter)
			}
		})
	}
	others.Wait()
	answer <- 200
	if err := <-done; err != nil || f.asked.Load() != 1 || f.client.Status().Resting {
		t.Errorf("asked %d times: %v", f.asked.Load(), err)
	}
}

func TestAProbeThatFailsIsNotRepeated(t *testing.T) {
	pace := tempo{backoff: time.Millisecond, rest: 200 * time.Millisecond} // the next call comes within the rest
	f := newFake(t, Limits{}, pace)
	f.fail(breakerCalls)
	time.Sleep(pace.rest + 5*time.Millisecond)
	f.asked.Store(0)
	f.answers(status(503, "Retry-After", "9"))
	start := time.Now()
	if err := f.call(t.Context()); fault.CodeOf(err) != "provider_unavailable" || f.asked.Load() != 1 || time.Since(start) > 5*time.Second {
		t.Errorf("asked %d times in %s: %v", f.asked.Load(), time.Since(start), err)
	}
	if err := f.call(t.Context()); fault.CodeOf(err) != "provider_resting" {
		t.Errorf("after it: %v", err)
	}
}

func TestAProbeWhoseCallerLeavesMakesRoomForTheNext(t *testing.T) {
	f := newFake(t, Limits{}, quick)
	f.fail(breakerCalls)
	time.Sleep(quick.rest + 5*time.Millisecond)
	f.answers(hang)
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if err := f.call(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if !f.client.Status().Resting {
		t.Error("a probe that taught nothing ended the rest")
	}
	f.answers(status(200))
	eventually(t, "another probe", func() bool { return f.call(t.Context()) == nil })
	if f.client.Status().Resting {
		t.Error("rests after an answer")
	}
}

func TestRetriesEndWhenOthersFindOut(t *testing.T) {
	f := newFake(t, Limits{Policy: Policy{Retries: 5}}, tempo{backoff: 50 * time.Millisecond, rest: time.Hour})
	f.answers(status(500))
	done := make(chan error)
	go func() { done <- f.call(t.Context()) }()
	eventually(t, "the first attempt", func() bool { return f.asked.Load() == 1 })
	f.client.breaker.circuit.Open()
	if failure := faultOf(t, <-done); failure.Code != "provider_unavailable" || f.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", f.asked.Load(), failure)
	}
}
