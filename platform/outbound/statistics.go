package outbound

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"llmhist/platform/fault"
)

// Outcome is how a call went, its retries included, until its response headers.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"     // a 2xx status
	Refused     Outcome = "refused"      // a status that blames the request, the key, the credit or the address
	RateLimited Outcome = "rate_limited" // 429
	Failed      Outcome = "failed"       // 5xx
	Unreachable Outcome = "unreachable"  // no connection, or no HTTP
	TimedOut    Outcome = "timed_out"    // no answer in time
	Left        Outcome = "left"         // the caller went away before there was an answer
	Busy        Outcome = "busy"         // not asked: no place became free in time
	Resting     Outcome = "resting"      // not asked: the provider failed repeatedly before
)

var outcomes = []Outcome{Answered, Refused, RateLimited, Failed, Unreachable, TimedOut, Left, Busy, Resting}

// Status is what a client knows of its provider at a moment. Counts are since
// the client was made.
type Status struct {
	Provider string
	Calls    map[Outcome]int64 // every outcome, also those that never came
	Retries  int64             // attempts beyond the first of a call
	InFlight int64             // places that are taken: calls whose body is not closed yet, and by Hold
	Waiting  int64             // calls that wait for a place
	Resting  bool              // the provider failed repeatedly; at most one call is let through to try it
	RestsFor time.Duration     // until it is tried again; 0 when it is being tried, or the next call tries it
}

// Status returns what the client knows of its provider now.
func (c *Client) Status() Status {
	status := Status{
		Provider: c.provider, Calls: make(map[Outcome]int64, len(outcomes)), Retries: c.statistics.retries.Load(),
		InFlight: c.queue.inside.Load(), Waiting: c.queue.waiting.Load(),
		Resting: !c.breaker.closed(), RestsFor: c.breaker.circuit.RemainingDelay(),
	}
	for _, outcome := range outcomes {
		status.Calls[outcome] = c.statistics.calls[outcome].Load()
	}
	return status
}

type statistics struct {
	calls   map[Outcome]*atomic.Int64 // never changes
	retries atomic.Int64
}

func newStatistics() *statistics {
	s := &statistics{calls: map[Outcome]*atomic.Int64{}}
	for _, outcome := range outcomes {
		s.calls[outcome] = new(atomic.Int64)
	}
	return s
}

// outcomeOf names how a call went that ended with err.
func outcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	var failure *fault.Error
	if !errors.As(err, &failure) {
		return Left
	}
	var upstream *Upstream
	if errors.As(err, &upstream) {
		return upstream.outcome()
	}
	switch failure.Code {
	case "provider_busy":
		return Busy
	case "provider_resting":
		return Resting
	case "provider_timeout":
		return TimedOut
	case "provider_unavailable":
		return Unreachable
	}
	return Refused
}

func (u *Upstream) outcome() Outcome {
	switch {
	case u.billing():
		return Refused
	case u.Status == http.StatusTooManyRequests:
		return RateLimited
	case u.Status >= http.StatusInternalServerError:
		return Failed
	}
	return Refused
}
