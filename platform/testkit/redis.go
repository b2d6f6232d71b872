package testkit

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a Redis server that one test may stop, start and hang. It
// keeps nothing across a stop.
type RedisServer struct {
	// URL is its address, the same after every start.
	URL string

	t       testing.TB
	port    string
	dir     string
	process *exec.Cmd
}

// StartRedis starts a Redis server that ends with the test. Without the program
// redis-server the test is skipped, or fails when LLMHIST_TEST_ALL is set.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal("redis-server is not installed, and LLMHIST_TEST_ALL requires it")
		}
		t.Skip("SKIPPED: no redis-server; install it or use make test-all")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	s := &RedisServer{URL: "redis://127.0.0.1:" + port, t: t, port: port, dir: t.TempDir()}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start starts the server after a Stop and returns when it takes connections.
func (s *RedisServer) Start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("redis-server does not start: ", err)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// Stop kills the server. It may be stopped already.
func (s *RedisServer) Stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Hang lets connections stand without an answer, until Stop or Resume.
func (s *RedisServer) Hang() { s.signal(syscall.SIGSTOP) }

// Resume ends Hang.
func (s *RedisServer) Resume() { s.signal(syscall.SIGCONT) }

func (s *RedisServer) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}
