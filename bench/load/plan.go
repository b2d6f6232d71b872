// Package load is a closed-loop load driver for servers on this machine: each
// connection sends a request, waits for the whole answer and sends the next.
// It measures throughput, latency, the first byte of streams, and what the
// watched processes spent on it. It speaks plain HTTP/1.1 with keep-alive by
// hand, because net/http's client would cost as much as the servers measured.
package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// The bounds of every plan.
const (
	MaxConnections = 256
	MaxDuration    = 2 * time.Minute
	MaxRequests    = 5_000_000
)

// maxBody bounds what is read of one answer.
const maxBody = 16 << 20

// Plan is one measurement.
type Plan struct {
	Address     string // host:port; only loopback addresses are accepted
	Connections int
	Warmup      time.Duration // load that is not measured
	Duration    time.Duration // load that is
	Requests    int           // ends the run early; 0 = MaxRequests
	Timeout     time.Duration // of one request; 0 = 30 s
	Watch       []int         // processes whose CPU time and memory are measured
	// Script returns what connection n says, counted from 0.
	Script func(n int) Script
}

// Script is the conversation of one connection. It is used by one goroutine.
type Script interface {
	// Next returns the request to send now.
	Next() Request
	// Judge looks at the whole answer. An error counts the request as failed
	// under the error's text, which must be one of a few. body is valid only
	// during the call.
	Judge(status int, body []byte) error
}

// Request is one request as it goes over the wire.
type Request struct {
	Wire []byte // as Encode makes it
	// Marker ends the wait for the first byte: the first body byte when it is
	// empty, else the moment it was received.
	Marker []byte
}

// Encode writes a request with keep-alive. header may hold any field but Host
// and Content-Length.
func Encode(method, target, host string, header http.Header, body []byte) []byte {
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host)
	if len(body) > 0 || method == http.MethodPost {
		fmt.Fprintf(&wire, "Content-Length: %d\r\n", len(body))
	}
	_ = header.Write(&wire) // a bytes.Buffer never fails
	wire.WriteString("\r\n")
	wire.Write(body)
	return wire.Bytes()
}

// Repeat is the script that sends one request again and again and wants one
// status.
func Repeat(request Request, want int) func(int) Script {
	return func(int) Script { return repeat{request, want} }
}

type repeat struct {
	request Request
	want    int
}

func (r repeat) Next() Request { return r.request }

func (r repeat) Judge(status int, _ []byte) error {
	if status != r.want {
		return Unexpected(status)
	}
	return nil
}

// Unexpected is the failure of an answer with another status than wanted.
func Unexpected(status int) error { return fmt.Errorf("status %d", status) }

// checked fills in what may be left out and refuses what is out of bounds.
func (p Plan) checked() (Plan, error) {
	if p.Requests == 0 {
		p.Requests = MaxRequests
	}
	if p.Timeout == 0 {
		p.Timeout = 30 * time.Second
	}
	host, _, err := net.SplitHostPort(p.Address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return p, fmt.Errorf("%q is not a loopback address and port: load is only ever put on this machine", p.Address)
	}
	switch {
	case p.Connections < 1 || p.Connections > MaxConnections:
		return p, fmt.Errorf("connections must be 1 to %d", MaxConnections)
	case p.Duration <= 0 || p.Duration > MaxDuration || p.Warmup < 0 || p.Warmup > MaxDuration:
		return p, fmt.Errorf("duration must be positive, and it and the warm-up at most %s", MaxDuration)
	case p.Requests < 0 || p.Requests > MaxRequests:
		return p, fmt.Errorf("requests must be 0 to %d", MaxRequests)
	case p.Timeout < 0:
		return p, errors.New("the timeout must not be negative")
	case slices.ContainsFunc(p.Watch, func(pid int) bool { return pid < 1 }):
		return p, errors.New("process ids must be positive")
	case p.Script == nil:
		return p, errors.New("a script is needed")
	}
	return p, nil
}
