package memory

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestMemoryIsGivenBackOnceAfterABurst(t *testing.T) {
	const mib = 1 << 20
	var r rest
	for i, step := range []struct {
		now  figures
		want bool
	}{
		{figures{allocated: 100 * mib, held: 90 * mib, live: 20 * mib}, false}, // busy
		{figures{allocated: 101 * mib, held: 90 * mib, live: 20 * mib}, true},  // idle since
		{figures{allocated: 102 * mib, held: 90 * mib, live: 20 * mib}, false}, // it did not help: not again
		{figures{allocated: 200 * mib, held: 90 * mib, live: 20 * mib}, false}, // busy again
		{figures{allocated: 201 * mib, held: 25 * mib, live: 20 * mib}, false}, // nothing to give
		{figures{allocated: 202 * mib, held: 90 * mib, live: 20 * mib}, true},
	} {
		if got := r.due(step.now); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestFiguresTellOfMemoryThatNothingIsIn(t *testing.T) {
	block := make([]byte, 64<<20)
	before := read()
	runtime.KeepAlive(block)
	block = nil
	runtime.GC()
	after := read()
	if spare := after.held - after.live; spare < 60<<20 || after.allocated < before.allocated {
		t.Errorf("%d bytes are in nothing, %+v", spare, after)
	}
}

func TestRestingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { RestWhenIdle(ctx); close(ended) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("it goes on")
	}
}
