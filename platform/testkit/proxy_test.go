package testkit

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// echoServer answers with what it was sent.
func echoServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(connection, connection)
				_ = connection.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// say sends a text and returns what comes back of it within a moment.
func say(connection net.Conn, text string) (string, error) {
	_, _ = io.WriteString(connection, text)
	_ = connection.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	answer := make([]byte, len(text))
	n, err := io.ReadFull(connection, answer)
	return string(answer[:n]), err
}

const words = "sixteen letters."

func TestAProxyFailsAsItIsToldAndEndsWithItsTest(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	silent := func(got string, err error) bool { return got == "" && errors.Is(err, os.ErrDeadlineExceeded) }
	for fault, test := range map[Fault]struct {
		during func(got string, err error) bool
		after  bool // the connection works when the fault is over
	}{
		Pass:     {func(got string, err error) bool { return got == words && err == nil }, true},
		Refuse:   {func(got string, err error) bool { return got == "" && !errors.Is(err, os.ErrDeadlineExceeded) }, false},
		Hang:     {silent, true},
		HalfOpen: {silent, false},
		Reset: {func(got string, err error) bool {
			return got == words[:8] || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
		}, false},
		Garbage: {func(got string, err error) bool { return got != words && err == nil }, false},
		Drip:    {func(got string, _ error) bool { return got != "" && got != words && strings.HasPrefix(words, got) }, true},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			p := NewProxy(t, echoServer(t))
			connection := dial(t, p)
			if got, err := say(connection, words); got != words {
				t.Fatalf("before: %q %v", got, err)
			}
			p.Set(fault)
			if got, err := say(connection, words); !test.during(got, err) {
				t.Errorf("during: %q %v", got, err)
			}
			if _, err := net.Dial("tcp", p.Address()); (err != nil) != (fault == Refuse) {
				t.Errorf("a new connection: %v", err)
			}
			p.Set(Pass)
			_, err := say(connection, words)
			if (err == nil) != test.after && fault != Garbage {
				t.Errorf("the connection afterwards: %v", err)
			}
			if got, err := say(dial(t, p), words); got != words {
				t.Errorf("a new connection afterwards: %q %v", got, err)
			}
		})
	}
}
