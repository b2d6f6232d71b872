package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func planFor(address string) Plan {
	wire := Encode(http.MethodGet, "/", address, nil, nil)
	return Plan{
		Address: address, Connections: 3, Duration: 20 * time.Second, Requests: 60, Timeout: 5 * time.Second,
		Script: Repeat(Request{Wire: wire}, http.StatusOK),
	}
}

func TestARunEndsAtItsCountOfRequests(t *testing.T) {
	var connections, seen atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seen.Add(1)%4 == 0 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = w.Write([]byte("ok"))
	}))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		connections.Add(1)
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)

	got, err := Run(t.Context(), planFor(server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 60 || got.Latency.Count+got.Failures["status 418"] != 60 || got.Failures["status 418"] < 10 {
		t.Errorf("counted %+v", got)
	}
	if connections.Load() != 3 {
		t.Errorf("%d connections were opened instead of kept alive", connections.Load())
	}
	if got.Latency.P50 <= 0 || got.Latency.Max < got.Latency.P99 || got.FirstByte.Count != got.Latency.Count {
		t.Errorf("latencies %+v", got)
	}
}

func TestTheFirstByteOfAStreamIsItsMarker(t *testing.T) {
	const apart = 50 * time.Millisecond
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("event: start\n\n"))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(apart) // what is measured is time itself
		_, _ = w.Write([]byte("event: delta\n\n"))
	})
	plan := planFor(address)
	plan.Connections, plan.Requests = 1, 1
	plan.Script = Repeat(Request{Wire: Encode(http.MethodGet, "/", address, nil, nil), Marker: []byte("event: delta")}, http.StatusOK)
	got, err := Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if got.Failed() != 0 || got.FirstByte.P50 < apart {
		t.Errorf("the marker came after %v; failures %v", got.FirstByte.P50, got.Failures)
	}
}

func TestFailuresAreCountedByTheirText(t *testing.T) {
	marked := func(plan *Plan) {
		plan.Script = Repeat(Request{Wire: Encode(http.MethodGet, "/", plan.Address, nil, nil), Marker: []byte("never")}, http.StatusOK)
	}
	for _, test := range []struct {
		name, want string
		handler    http.HandlerFunc
		change     func(*Plan)
	}{
		{"a connection that breaks", errBroken.Error(), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil},
		{"a stream without its marker", errMarker.Error(), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "other") }, marked},
		{"an answer that the script rejects", "wrong text", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "other") },
			func(plan *Plan) { plan.Script = func(int) Script { return rejecting{plan.Address} } }},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := planFor(serve(t, test.handler))
			plan.Requests = 5
			if test.change != nil {
				test.change(&plan)
			}
			got, err := Run(t.Context(), plan)
			if err != nil || got.Failures[test.want] != 5 || got.Latency.Count != 0 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

type rejecting struct{ address string }

func (r rejecting) Next() Request {
	return Request{Wire: Encode(http.MethodGet, "/", r.address, nil, nil)}
}
func (rejecting) Judge(int, []byte) error { return errors.New("wrong text") }

func TestACancelledRunIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := planFor(serve(t, func(w http.ResponseWriter, _ *http.Request) { cancel() }))
	if _, err := Run(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPlansOutOfBoundsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"another machine":      func(p *Plan) { p.Address = "192.0.2.1:80" },
		"a name":               func(p *Plan) { p.Address = "localhost:80" },
		"every address":        func(p *Plan) { p.Address = "0.0.0.0:80" },
		"no connections":       func(p *Plan) { p.Connections = 0 },
		"too many connections": func(p *Plan) { p.Connections = MaxConnections + 1 },
		"no duration":          func(p *Plan) { p.Duration = 0 },
		"too long":             func(p *Plan) { p.Duration = MaxDuration + 1 },
		"too long a warm-up":   func(p *Plan) { p.Warmup = MaxDuration + 1 },
		"too many requests":    func(p *Plan) { p.Requests = MaxRequests + 1 },
		"process 0":            func(p *Plan) { p.Watch = []int{0} },
		"no script":            func(p *Plan) { p.Script = nil },
	} {
		t.Run(name, func(t *testing.T) {
			plan := planFor("127.0.0.1:1")
			change(&plan)
			if _, err := Run(t.Context(), plan); err == nil {
				t.Error("was run")
			}
		})
	}
}

func TestEncodeWritesARequest(t *testing.T) {
	got := string(Encode(http.MethodPost, "/x?y=1", "127.0.0.1:80", http.Header{"Content-Type": {"application/json"}}, []byte("{}")))
	want := "POST /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
	if got != want {
		t.Errorf("got %q", got)
	}
	if get := string(Encode(http.MethodGet, "/", "127.0.0.1:80", nil, nil)); strings.Contains(get, "Content-Length") {
		t.Errorf("got %q", get)
	}
}
