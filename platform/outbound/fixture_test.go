package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/fault"
)

// quick is a tempo that tests can wait for.
var quick = tempo{backoff: time.Millisecond, rest: 30 * time.Millisecond}

// fake is a provider whose answers the test decides, and its client.
type fake struct {
	t      *testing.T
	url    string
	client *Client
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newFake(t *testing.T, limits Limits, pace tempo) *fake {
	t.Helper()
	f := &fake{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		(*f.answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	f.url, f.client = server.URL, newClient("acme", limits, pace)
	t.Cleanup(f.client.Close)
	f.answers(status(200))
	return f
}

func (f *fake) answers(with http.HandlerFunc) { f.answer.Store(&with) }

// status answers with a status and, in pairs, headers.
func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// inTurn gives one answer after the other, and the last one again and again.
func inTurn(answers ...http.HandlerFunc) http.HandlerFunc {
	var next atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		answers[min(int(next.Add(1)), len(answers))-1](w, r)
	}
}

// hang answers nothing until the caller is gone.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// drop ends the connection without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func (f *fake) request() *http.Request {
	request, err := http.NewRequest(http.MethodPost, f.url, strings.NewReader("question"))
	if err != nil {
		f.t.Fatal(err)
	}
	return request
}

// call asks and closes what came.
func (f *fake) call(ctx context.Context) error {
	response, err := f.client.Do(ctx, f.request())
	if err == nil {
		_, err = f.client.ReadAll(response)
	}
	return err
}

// faultOf returns the fault that err is.
func faultOf(t *testing.T, err error) *fault.Error {
	t.Helper()
	var failure *fault.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a fault", err)
	}
	return failure
}

// eventually waits for what other goroutines are about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in five seconds: %s", what)
		}
	}
}
