package flite

import (
	"context"
	"runtime/debug"
	"time"
)

// acquire returns the loaded program, loading it if need be, and keeps it loaded until release.
func (e *Engine) acquire(ctx context.Context) (*program, error) {
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if e.closed {
		return nil, ErrClosed
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.loaded == nil {
		prog, err := load(ctx, e.cacheDir)
		if err != nil {
			return nil, err
		}
		e.loaded = prog
	}
	e.users++
	e.running.Add(1)
	return e.loaded, nil
}

// release gives back what acquire gave. The last one starts the idle period.
func (e *Engine) release() {
	e.lock <- struct{}{}
	defer func() { <-e.lock }()
	defer e.running.Done()
	e.users--
	e.lastUse = time.Now()
	switch {
	case e.users > 0:
	case e.closed:
		e.unload()
	default:
		e.startTimer(e.idle)
	}
}

// startTimer must be called under the lock.
func (e *Engine) startTimer(d time.Duration) {
	if e.timer == nil {
		e.timer = time.AfterFunc(d, e.expire)
		return
	}
	e.timer.Reset(d)
}

// expire runs on the timer's goroutine. A timer that fired just as a synthesis began or ended
// finds users or a recent use, and leaves the program alone.
func (e *Engine) expire() {
	e.lock <- struct{}{}
	defer func() { <-e.lock }()
	if e.users > 0 || e.loaded == nil {
		return
	}
	if left := e.idle - time.Since(e.lastUse); left > 0 {
		e.startTimer(left)
		return
	}
	e.unload()
	debug.FreeOSMemory() // tens of megabytes at once, and maybe nothing will be allocated for long
}

// shut refuses further use and frees the program unless somebody uses it.
func (e *Engine) shut() {
	e.lock <- struct{}{}
	defer func() { <-e.lock }()
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
	}
	if e.users == 0 {
		e.unload()
	}
}

// unload must be called under the lock.
func (e *Engine) unload() {
	if e.loaded == nil {
		return
	}
	e.loaded.close()
	e.loaded = nil
}
