package outbound

import (
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"llmhist/platform/fault"
)

// When a provider is left alone: half of at least ten calls failed within half
// a minute.
const (
	breakerRate   = 0.5
	breakerCalls  = 10
	breakerWindow = 30 * time.Second
)

// breaker stops calls to a provider that fails again and again. After a rest one
// call alone finds out whether it works again.
type breaker struct {
	circuit circuitbreaker.CircuitBreaker[any]
}

func newBreaker(rest time.Duration) *breaker {
	return &breaker{circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(breakerRate, breakerCalls, breakerWindow).
		WithSuccessThreshold(1). // and so one probe at a time
		WithDelay(rest).
		Build()}
}

// errResting is the cause of a call that was not made.
var errResting = errors.New("the provider rests after repeated failures")

// rests reports whether no call would be admitted now. It takes no part in the
// decision.
func (b *breaker) rests() bool { return b.circuit.IsOpen() && b.circuit.RemainingDelay() > 0 }

// closed reports whether the provider is not known to fail.
func (b *breaker) closed() bool { return b.circuit.IsClosed() }

// admit reports whether the call may be made, and whether it is the probe. Every
// call that is admitted ends with settle.
func (b *breaker) admit() (probe, admitted bool) {
	admitted = b.circuit.TryAcquirePermit()
	return admitted && b.circuit.IsHalfOpen(), admitted
}

// settle tells how an admitted call went. A caller who left has learnt nothing
// of the provider; when that was the probe, the rest begins anew, since only a
// new state gives its place to another probe.
func (b *breaker) settle(probe bool, went Outcome) {
	switch went {
	case Failed, Unreachable, TimedOut:
		b.circuit.RecordFailure()
	case Left:
		if probe {
			b.circuit.Open()
		}
	default: // it answered: a refusal and a rate limit are answers too
		b.circuit.RecordSuccess()
	}
}

// restingFault is the fault of a call that was not made.
func (c *Client) restingFault() error {
	left := c.breaker.circuit.RemainingDelay()
	again := "is being tried by another request right now"
	if left > 0 {
		again = "is asked again at " + time.Now().Add(left).UTC().Format("15:04:05 UTC")
	}
	resting := fault.Wrap(errResting, fault.Unavailable, "provider_resting",
		fmt.Sprintf("The provider %q failed repeatedly and %s. Try again then, or use another model.", c.provider, again)).
		With("provider", c.provider)
	resting.RetryAfter = max(left, time.Second)
	return resting
}
