package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"llmhist/platform/logging"
	"llmhist/platform/redisclient"
	"llmhist/platform/testkit"
)

func openRedis(t *testing.T, address string) *Redis {
	t.Helper()
	client, err := redisclient.Open(t.Context(), logging.Secret(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return NewRedis(client, slog.New(slog.DiscardHandler))
}

// eachRedis runs test on miniredis and on the server that TEST_REDIS_URL names.
func eachRedis(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("miniredis", func(t *testing.T) { test(t, "redis://"+miniredis.RunT(t).Addr()) })
	t.Run("redis", func(t *testing.T) {
		address := os.Getenv("TEST_REDIS_URL")
		if address == "" {
			if os.Getenv("LLMHIST_TEST_ALL") != "" {
				t.Fatal("TEST_REDIS_URL is not set, and LLMHIST_TEST_ALL requires Redis")
			}
			t.Skip("SKIPPED: no Redis; set TEST_REDIS_URL or use make test-all")
		}
		test(t, address)
	})
}

// freshKey is one that no test before used: the server outlives a run.
func freshKey(t *testing.T) string { return fmt.Sprintf("%s %x", t.Name(), rand.Uint64()) }

func TestTwoProcessesShareOneWindow(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		for range 5 {
			processes := []*Redis{openRedis(t, address), openRedis(t, address)}
			allowed := takeAtOnce(t, processes, freshKey(t), Rule{Requests: 20, Window: time.Hour})
			if processes[0].Fallbacks()+processes[1].Fallbacks() == 0 {
				if allowed != 20 {
					t.Errorf("%d allowed", allowed)
				}
				return
			}
		}
		t.Error("the server never answered in time")
	})
}

// takeAtOnce sends 100 requests and returns how many were allowed.
func takeAtOnce(t *testing.T, processes []*Redis, key string, rule Rule) int64 {
	t.Helper()
	var allowed atomic.Int64
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			d, err := processes[i%2].Take(context.Background(), key, rule)
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				allowed.Add(1)
			} else if d.RetryAfter <= 0 || d.RetryAfter > rule.Window/20 {
				t.Errorf("refused with %+v", d)
			}
		})
	}
	group.Wait()
	return allowed.Load()
}

func TestRedisDecidesAsTheLocalLimiterDoes(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		r, key := openRedis(t, address), freshKey(t)
		rule := Rule{Requests: 3, Window: time.Hour}
		for want := 2; want >= 0; want-- {
			if d, err := r.Take(t.Context(), key, rule); err != nil || !d.Allowed || d.Remaining != want {
				t.Fatalf("want %d remaining: %+v %v", want, d, err)
			}
		}
		if d, _ := r.Take(t.Context(), key, rule); d.Allowed || d.RetryAfter < 19*time.Minute || d.Reset < 59*time.Minute {
			t.Errorf("the fourth: %+v", d)
		}
		if d, _ := r.Take(t.Context(), key, Rule{}); !d.Allowed {
			t.Error("a rule that is off refuses")
		}
	})
}

func TestAForgottenKeyHasAFreshWindowForEveryProcess(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		one, two, key := openRedis(t, address), openRedis(t, address), freshKey(t)
		rule := Rule{Requests: 1, Window: time.Hour}
		for range 2 {
			if d, err := one.Take(t.Context(), key, rule); err != nil || !d.Allowed {
				t.Fatalf("%+v %v", d, err)
			}
			if d, _ := two.Take(t.Context(), key, rule); d.Allowed {
				t.Fatal("the window was not shared")
			}
			two.Forget(t.Context(), key)
		}
	})
}

func TestWithoutRedisLimitsHoldPerProcessAndItHeals(t *testing.T) {
	server := miniredis.RunT(t)
	r := openRedis(t, "redis://"+server.Addr())
	now := time.Now()
	r.now = func() time.Time { return now }
	rule := Rule{Requests: 2, Window: time.Hour}
	server.Close()
	for want := range 3 {
		if d, err := r.Take(t.Context(), "k", rule); err != nil || d.Allowed != (want < 2) {
			t.Fatalf("request %d: %+v %v", want, d, err)
		}
	}
	if r.Fallbacks() != 3 {
		t.Errorf("%d fallbacks", r.Fallbacks())
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(redisPause)
	if d, err := r.Take(t.Context(), "new", rule); err != nil || !d.Allowed || r.Fallbacks() != 3 {
		t.Errorf("after it came back: %+v %v, %d fallbacks", d, err, r.Fallbacks())
	}
	if d, err := r.Take(t.Context(), "k", rule); err != nil || d.Allowed || r.Fallbacks() != 3 {
		t.Errorf("the absence gave a fresh window: %+v %v, %d fallbacks", d, err, r.Fallbacks())
	}
}

// TestWhatWasCountedWhileRedisWasAwayIsHandedOver stops a real server and starts
// it again without anything it knew.
func TestWhatWasCountedWhileRedisWasAwayIsHandedOver(t *testing.T) {
	server := testkit.StartRedis(t)
	processes := []*Redis{openRedis(t, server.URL), openRedis(t, server.URL)}
	rule := Rule{Requests: 20, Window: time.Hour}
	take := func(process int) Decision {
		t.Helper()
		d, err := processes[process].Take(t.Context(), "k", rule)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := take(0); d.Remaining != 19 {
		t.Fatalf("%+v", d)
	}
	server.Stop()
	for range 4 {
		take(0)
	}
	for want := 19; want > 12; want-- { // this process knows of its own only, and says so
		if d := take(1); !d.Allowed || d.Remaining != want {
			t.Fatalf("away, want %d remaining: %+v", want, d)
		}
	}
	if processes[0].Fallbacks() != 4 || processes[1].Fallbacks() != 7 {
		t.Fatalf("%d and %d fallbacks", processes[0].Fallbacks(), processes[1].Fallbacks())
	}
	server.Start()
	healed := func(process int) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; {
			before := processes[process].Fallbacks()
			if d, err := processes[process].Take(t.Context(), "other", Rule{Requests: 1_000_000, Window: time.Hour}); err != nil || !d.Allowed {
				t.Fatalf("%+v %v", d, err)
			}
			if processes[process].Fallbacks() == before {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("it does not heal")
			}
			time.Sleep(10 * time.Millisecond) // between two looks
		}
	}
	healed(0)
	healed(1)
	if d := take(0); d.Remaining != 20-4-1 { // the server forgot the first one
		t.Errorf("the first process handed over: %+v", d)
	}
	if d := take(1); d.Remaining != 20-4-1-7-1 {
		t.Errorf("the second process handed over: %+v", d)
	}
	allowed := 0
	for i := range 20 {
		if take(i % 2).Allowed {
			allowed++
		}
	}
	if allowed != 7 {
		t.Errorf("%d more were allowed, want 7", allowed)
	}
}

func TestHandingOverFillsNoMoreThanTheWindow(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		rule, key := Rule{Requests: 4, Window: time.Hour}, freshKey(t)
		for range 3 { // processes that each let a whole window through
			r := openRedis(t, address)
			for range 4 {
				if _, err := r.local.Take(t.Context(), key, rule); err != nil {
					t.Fatal(err)
				}
			}
			d, err := r.Take(t.Context(), key, rule)
			if err != nil || d.Allowed || d.RetryAfter > 15*time.Minute || d.Reset > time.Hour {
				t.Errorf("%+v %v", d, err)
			}
		}
	})
}

func TestAServerThatHangsDelaysOneRequestAPause(t *testing.T) {
	server := testkit.StartRedis(t)
	r := openRedis(t, server.URL)
	now := time.Now()
	r.now = func() time.Time { return now }
	rule := Rule{Requests: 1000, Window: time.Hour}
	server.Hang()
	began := time.Now()
	for range 50 {
		if d, err := r.Take(t.Context(), "k", rule); err != nil || !d.Allowed {
			t.Fatalf("%+v %v", d, err)
		}
	}
	now = now.Add(redisPause)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if d, err := r.Take(t.Context(), "k", rule); err != nil || !d.Allowed {
				t.Errorf("%+v %v", d, err)
			}
		})
	}
	group.Wait()
	if took := time.Since(began); took < 2*redisclient.Deadline || took > 8*redisclient.Deadline {
		t.Errorf("100 requests took %s", took)
	}
	if d, _ := r.local.Take(t.Context(), "k", rule); d.Remaining != 1000-101 {
		t.Errorf("of 100 requests and this one, %d remain", d.Remaining)
	}
}

func TestEveryKeyExpiresWithItsWindow(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		r := openRedis(t, address)
		for requests, rule := range map[int]Rule{1: {Requests: 3, Window: time.Minute}, 9: {Requests: 3, Window: time.Hour}} {
			key := freshKey(t)
			for range requests {
				if _, err := r.Take(t.Context(), key, rule); err != nil {
					t.Fatal(err)
				}
			}
			d, err := r.Take(t.Context(), key, rule)
			if err != nil {
				t.Fatal(err)
			}
			left, err := r.client.PTTL(t.Context(), keyPrefix+key).Result()
			if err != nil || left <= 0 || left > rule.Window || (left-d.Reset).Abs() > 2*time.Second {
				t.Errorf("%s: %s to live, the window is full again in %s (%v)", rule, left, d.Reset, err)
			}
		}
	})
}
