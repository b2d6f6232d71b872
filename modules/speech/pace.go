package speech

import (
	"context"
	"time"
)

// pace lets calls happen one at a time and at least gap apart.
type pace struct {
	turn chan struct{} // holds one token while somebody calls
	gap  time.Duration
	now  func() time.Time
	wait func(ctx context.Context, d time.Duration) error
	next time.Time // when the next call may start; guarded by turn
}

func newPace(gap time.Duration, now func() time.Time) *pace {
	return &pace{turn: make(chan struct{}, 1), gap: gap, now: now, wait: sleep}
}

// do runs call when its turn has come, unless ctx ends first.
func (p *pace) do(ctx context.Context, call func() error) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if left := p.next.Sub(p.now()); left > 0 {
		if err := p.wait(ctx, min(left, p.gap)); err != nil { // a clock set back must not hold everyone
			return err
		}
	}
	defer func() { p.next = p.now().Add(p.gap) }()
	return call()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
