package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAWindowMayComeAtOnceThenOnePerInterval(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limiter := NewLocal(func() time.Time { return now })
	rule := Rule{Requests: 3, Window: time.Minute}
	take := func() Decision {
		t.Helper()
		d, err := limiter.Take(context.Background(), "k", rule)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for want := 2; want >= 0; want-- {
		if d := take(); !d.Allowed || d.Remaining != want {
			t.Fatalf("want %d remaining, got %+v", want, d)
		}
	}
	if d := take(); d.Allowed || d.RetryAfter != 20*time.Second {
		t.Fatalf("the fourth: %+v", d)
	}
	now = now.Add(20*time.Second - time.Millisecond)
	if d := take(); d.Allowed || d.RetryAfter != time.Millisecond {
		t.Fatalf("a millisecond early: %+v", d)
	}
	now = now.Add(time.Millisecond)
	if d := take(); !d.Allowed || d.Remaining != 0 {
		t.Fatalf("after the interval: %+v", d)
	}
	if d, _ := limiter.Take(context.Background(), "other", rule); d.Remaining != 2 {
		t.Fatalf("another key: %+v", d)
	}
	now = now.Add(time.Hour)
	if d := take(); d.Remaining != 2 {
		t.Fatalf("after a quiet hour: %+v", d)
	}
}

func TestConcurrentRequestsGetExactlyTheWindow(t *testing.T) {
	at := time.Now()
	limiter := NewLocal(func() time.Time { return at })
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if d, _ := limiter.Take(context.Background(), "k", Rule{Requests: 10, Window: time.Minute}); d.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 10 {
		t.Fatalf("%d allowed", allowed.Load())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	at := time.Now()
	limiter := NewLocal(func() time.Time { return at })
	for i := range maxKeys + 1000 {
		_, _ = limiter.Take(context.Background(), fmt.Sprint(i), Rule{Requests: 1, Window: time.Hour})
	}
	if len(limiter.full) > maxKeys {
		t.Fatalf("%d keys held", len(limiter.full))
	}
}

func TestParseRule(t *testing.T) {
	for text, want := range map[string]Rule{
		"10/min": {10, time.Minute}, "1/sec": {1, time.Second}, "5/hour": {5, time.Hour}, "7/day": {7, 24 * time.Hour}, "off": {},
	} {
		got, err := ParseRule(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v %v, written back %s", text, got, err, got)
		}
	}
	for _, text := range []string{"", "10", "0/min", "-1/min", "10/week", "x/min", "10/min/min", "1e3/min", "99999999/sec"} {
		if _, err := ParseRule(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
