package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"llmhist/platform/fault"
)

// retrySpread is by which part a delay is made longer or shorter, so that calls
// that failed together do not come back together.
const retrySpread = 0.2

// passing is a failure after which the call is made again.
type passing struct {
	error
	after time.Duration // the provider's Retry-After; 0 = none
}

func (p passing) Unwrap() error { return p.error }

// newRetries returns the policy that repeats what failed as passing.
func newRetries(p Policy, pace tempo) failsafe.Executor[any] {
	return failsafe.With[any](retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return errors.As(err, new(passing)) }).
		WithMaxRetries(p.Retries).
		WithBackoff(pace.backoff, pace.longest()).
		WithJitterFactor(retrySpread).
		WithDelayFunc(retryDelay).
		ReturnLastFailure().
		Build())
}

// retryDelay returns the delay that the provider asked for, so much longer that
// the spread never makes it shorter than that; -1 leaves it to the backoff.
func retryDelay(attempt failsafe.ExecutionAttempt[any]) time.Duration {
	var failure passing
	if !errors.As(attempt.LastError(), &failure) || failure.after <= 0 {
		return -1
	}
	return time.Duration(float64(failure.after) / (1 - retrySpread))
}

// longest is how far the backoff grows.
func (t tempo) longest() time.Duration { return 16 * t.backoff }

// longestDelay is how long the delay after an attempt can be, counted from 1.
func (t tempo) longestDelay(attempt int, after time.Duration) time.Duration {
	delay := float64(min(t.backoff<<min(attempt-1, 16), t.longest()))
	if after > 0 {
		delay = float64(after) / (1 - retrySpread)
	}
	return time.Duration(delay * (1 + retrySpread))
}

// repeatedly makes a call and, if repeat is set, makes it again while its failure
// may pass and there is time. It returns the response that came, or else the
// last failure, and how many attempts that took.
func (c *Client) repeatedly(ctx context.Context, request *http.Request, repeat bool) (response *http.Response, attempts int, err error) {
	repeat = repeat && replayable(request)
	_ = c.retries.WithContext(ctx).Run(func() error {
		if attempts > 0 {
			if !c.breaker.closed() { // others found out meanwhile that it is no use
				return nil
			}
			c.statistics.retries.Add(1)
		}
		attempts++
		response, err = c.attempt(ctx, request, attempts)
		if after, may := c.mayPass(err); repeat && may && c.hasTime(ctx, attempts, after) {
			return passing{err, after}
		}
		return nil
	})
	if response == nil && ctx.Err() != nil { // before an attempt, or between two
		err = c.ended(ctx)
	}
	return response, attempts, err
}

// replayable reports whether the body can be sent a second time.
func replayable(request *http.Request) bool {
	return request.Body == nil || request.Body == http.NoBody || request.GetBody != nil
}

// mayPass reports whether a failure is one that the next attempt may not meet,
// and for how long the provider wants to be left alone before.
func (c *Client) mayPass(err error) (after time.Duration, may bool) {
	var upstream *Upstream
	if !errors.As(err, &upstream) {
		return 0, connectionBroke(err)
	}
	switch upstream.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		var failure *fault.Error
		if errors.As(err, &failure) {
			after = failure.RetryAfter
		}
		return after, !upstream.billing() && after <= c.limits.MaxRetryAfter
	}
	return 0, false
}

// connectionBroke reports whether the provider refused or dropped the connection
// before it answered. A name that does not exist and what is no HTTP stay so.
func connectionBroke(err error) bool {
	if !fault.Is(err, fault.Unavailable) {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var name *net.DNSError
	if errors.As(err, &name) && name.IsNotFound {
		return false
	}
	var operation *net.OpError
	return errors.As(err, &operation) && (operation.Op == "dial" || operation.Op == "read" || operation.Op == "write")
}

// hasTime reports whether ctx outlasts the delay after an attempt.
func (c *Client) hasTime(ctx context.Context, attempt int, after time.Duration) bool {
	deadline, bounded := ctx.Deadline()
	return ctx.Err() == nil && (!bounded || time.Until(deadline) > c.pace.longestDelay(attempt, after))
}
