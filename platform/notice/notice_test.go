package notice

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"llmhist/platform/logging"
	"llmhist/platform/redisclient"
	"llmhist/platform/testkit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"),
		// It ends within a second after the client is closed, which is longer than is waited for here.
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// member is one process that listens.
type member struct {
	*Board
	mu     sync.Mutex
	heard  []Notice
	missed int
}

func open(t *testing.T, address string) *redis.Client {
	t.Helper()
	client, err := redisclient.Open(t.Context(), logging.Secret(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// join returns a member that hears others already.
func join(t *testing.T, address string) *member {
	t.Helper()
	m := &member{Board: Open(open(t, address), slog.New(slog.DiscardHandler))}
	t.Cleanup(func() { _ = m.Close() })
	m.Listen(Receiver{Receive: m.hear, Missed: func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.missed++
	}})
	eventually(t, 5*time.Second, func() bool { return m.misses() == 1 })
	return m
}

func (m *member) hear(n Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, n)
}

func (m *member) has(n Notice) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.heard {
		if one == n {
			return true
		}
	}
	return false
}

func (m *member) misses() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.missed
}

func eventually(t *testing.T, within time.Duration, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it does not hold after %s", within)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
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

func TestOthersHearANoticeAtOnceAndTheSenderDoesNot(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		sender, listener := join(t, address), join(t, address)
		n := Notice{Kind: "bird", ID: "42"}
		began := time.Now()
		sender.Publish(n)
		eventually(t, 5*time.Second, func() bool { return listener.has(n) })
		t.Logf("heard after %s", time.Since(began))
		listener.Publish(Notice{Kind: "answer"})
		eventually(t, 5*time.Second, func() bool { return sender.has(Notice{Kind: "answer"}) })
		if sender.has(n) || sender.Dropped() != 0 {
			t.Errorf("the sender heard itself, or %d were dropped", sender.Dropped())
		}
	})
}

func TestAnotherDatabaseNumberIsAnotherInstallation(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		sender, other, same := join(t, address), join(t, strings.TrimSuffix(address, "/")+"/3"), join(t, address)
		sender.Publish(Notice{Kind: "bird"})
		eventually(t, 5*time.Second, func() bool { return same.has(Notice{Kind: "bird"}) })
		if other.has(Notice{Kind: "bird"}) {
			t.Error("it was heard under another number")
		}
	})
}

func TestWhatIsNoNoticeIsPassedOver(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		listener, client := join(t, address), open(t, address)
		for _, text := range []string{"", "{", "[]", `{"from":1}`, `{"from":"x","kind":"long","id":"` + strings.Repeat("x", maxNotice) + `"}`, `{"from":"x","kind":"bird","id":"1"}`} {
			if err := client.Publish(t.Context(), listener.channel, text).Err(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 5*time.Second, func() bool { return listener.has(Notice{"bird", "1"}) })
		listener.mu.Lock()
		defer listener.mu.Unlock()
		for _, n := range listener.heard {
			if n.Kind == "long" {
				t.Error("a long one was taken")
			}
		}
		if listener.missed != 1 {
			t.Errorf("the connection was lost %d times", listener.missed-1)
		}
	})
}

func TestAfterEveryLostConnectionEverythingCountsAsMissedOnce(t *testing.T) {
	server := testkit.StartRedis(t)
	sender, listener := join(t, server.URL), join(t, server.URL)
	for round := range 2 {
		server.Stop()
		eventually(t, 5*time.Second, func() bool { return !listener.Joined() && !sender.Joined() })
		began := time.Now()
		sender.Publish(Notice{Kind: "lost"})
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("publishing without a server took %s", took)
		}
		eventually(t, 5*time.Second, func() bool { return sender.Dropped() == int64(round+1) })
		server.Start()
		eventually(t, 10*time.Second, func() bool { return listener.misses() == round+2 && sender.misses() == round+2 })
		n := Notice{Kind: "after", ID: string(rune('a' + round))}
		sender.Publish(n)
		eventually(t, time.Second, func() bool { return listener.has(n) })
	}
	if listener.has(Notice{Kind: "lost"}) || listener.misses() != 3 {
		t.Errorf("heard %v, missed %d times", listener.heard, listener.misses())
	}
}

func TestAServerThatHangsIsNoticed(t *testing.T) {
	server := testkit.StartRedis(t)
	sender, listener := join(t, server.URL), join(t, server.URL)
	server.Hang()
	eventually(t, 5*time.Second, func() bool { return !listener.Joined() })
	for range queued + 100 { // more than fit
		sender.Publish(Notice{Kind: "bird"})
	}
	if sender.Dropped() == 0 {
		t.Error("the queue has no bound")
	}
	server.Resume()
	eventually(t, 10*time.Second, func() bool { return listener.misses() >= 2 && listener.Joined() })
	n := Notice{Kind: "after"}
	eventually(t, 10*time.Second, func() bool {
		sender.Publish(n)
		return listener.has(n)
	})
}

func TestCloseEndsAtOnceWhateverTheServerDoes(t *testing.T) {
	for name, fault := range map[string]func(s *testkit.RedisServer){
		"healthy": func(*testkit.RedisServer) {}, "stopped": (*testkit.RedisServer).Stop, "hanging": (*testkit.RedisServer).Hang,
	} {
		t.Run(name, func(t *testing.T) {
			server := testkit.StartRedis(t)
			m := join(t, server.URL)
			fault(server)
			for range queued {
				m.Publish(Notice{Kind: "bird"})
			}
			began := time.Now()
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("closing took %s", took)
			}
		})
	}
}

func TestCloseSendsWhatWaits(t *testing.T) {
	eachRedis(t, func(t *testing.T, address string) {
		listener := join(t, address)
		command := Open(open(t, address), slog.New(slog.DiscardHandler)) // says something and ends
		command.Publish(Notice{Kind: "last", ID: "1"})
		command.Publish(Notice{Kind: "last", ID: "2"})
		if err := command.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, func() bool { return listener.has(Notice{"last", "1"}) && listener.has(Notice{"last", "2"}) })
	})
}
