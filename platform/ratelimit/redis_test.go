package ratelimit

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"llmhist/platform/logging"
)

func openRedis(t *testing.T, address string) *Redis {
	t.Helper()
	r, err := OpenRedis(t.Context(), logging.Secret(address), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
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

func TestTwoProcessesShareOneWindow(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		processes := []*Redis{openRedis(t, address), openRedis(t, address)}
		rule := Rule{Requests: 20, Window: time.Hour}
		var allowed atomic.Int64
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				d, err := processes[i%2].Take(context.Background(), t.Name(), rule)
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
		if allowed.Load() != 20 || processes[0].Fallbacks()+processes[1].Fallbacks() != 0 {
			t.Errorf("%d allowed, %d fallbacks", allowed.Load(), processes[0].Fallbacks())
		}
	})
}

func TestRedisDecidesAsTheLocalLimiterDoes(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		r := openRedis(t, address)
		rule := Rule{Requests: 3, Window: time.Hour}
		for want := 2; want >= 0; want-- {
			if d, err := r.Take(t.Context(), t.Name(), rule); err != nil || !d.Allowed || d.Remaining != want {
				t.Fatalf("want %d remaining: %+v %v", want, d, err)
			}
		}
		if d, _ := r.Take(t.Context(), t.Name(), rule); d.Allowed || d.RetryAfter < 19*time.Minute || d.Reset < 59*time.Minute {
			t.Errorf("the fourth: %+v", d)
		}
		if d, _ := r.Take(t.Context(), t.Name(), Rule{}); !d.Allowed {
			t.Error("a rule that is off refuses")
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
	if d, err := r.Take(t.Context(), "k", rule); err != nil || !d.Allowed || r.Fallbacks() != 3 {
		t.Errorf("after it came back: %+v %v, %d fallbacks", d, err, r.Fallbacks())
	}
}

func TestABadAddressNamesItsKeyAndNoPassword(t *testing.T) {
	for _, address := range []string{"redis://:hidden@127.0.0.1:1", "http://:hidden@h", "::"} {
		_, err := OpenRedis(t.Context(), logging.Secret(address), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "REDIS_URL") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
