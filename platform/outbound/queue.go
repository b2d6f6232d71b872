package outbound

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"

	"llmhist/platform/fault"
)

// queue lets a bounded number of calls in at a time, and a bounded number wait.
type queue struct {
	places bulkhead.Bulkhead[any]
	wait   time.Duration
	length int64

	inside  atomic.Int64
	waiting atomic.Int64
}

func newQueue(p Policy) *queue {
	return &queue{
		places: bulkhead.New[any](uint(p.Concurrency)), // withDefaults made it positive
		wait:   p.QueueWait, length: int64(p.QueueLength),
	}
}

// enter takes a place, which leave gives back. It returns bulkhead.ErrFull when
// there is none in time, and the error of a ctx that ended.
func (q *queue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.places.TryAcquirePermit() {
		q.inside.Add(1)
		return nil
	}
	defer q.waiting.Add(-1)
	if q.waiting.Add(1) > q.length {
		return bulkhead.ErrFull
	}
	if err := q.places.AcquirePermitWithMaxWait(ctx, q.wait); err != nil {
		return err
	}
	q.inside.Add(1)
	return nil
}

func (q *queue) leave() {
	q.inside.Add(-1)
	q.places.ReleasePermit()
}

// Hold takes a place for work that makes several calls or goes on after the last
// one. Calls of this client with the context it returns take none of their own.
// release gives the place back; its faults are those of Do.
func (c *Client) Hold(ctx context.Context) (holding context.Context, release func(), err error) {
	leave, err := c.enter(ctx)
	if err != nil {
		c.statistics.calls[outcomeOf(err)].Add(1)
		return nil, nil, err
	}
	return context.WithValue(ctx, placeOf{c}, true), sync.OnceFunc(leave), nil
}

// placeOf is the key of a context that holds a place of a client.
type placeOf struct{ *Client }

func (c *Client) holds(ctx context.Context) bool { return ctx.Value(placeOf{c}) != nil }

// busyRetryAfter is when a caller that found no place may ask again.
const busyRetryAfter = time.Second

// queueFault names why a call got no place.
func (c *Client) queueFault(err error) error {
	if !errors.Is(err, bulkhead.ErrFull) {
		return err
	}
	busy := fault.Wrap(err, fault.Unavailable, "provider_busy",
		fmt.Sprintf("The provider %q is being asked by as many as it may be. Try again shortly.", c.provider)).With("provider", c.provider)
	busy.RetryAfter = busyRetryAfter
	return busy
}
