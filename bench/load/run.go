package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pauseAfterFailure keeps a connection to a broken server from spinning.
const pauseAfterFailure = 5 * time.Millisecond

// Run puts the plan's load on the server and returns what was measured in the
// time after the warm-up. The error says that the plan is not acceptable, that
// ctx ended, or that a watched process did; failed requests are counted instead.
func Run(ctx context.Context, plan Plan) (Result, error) {
	plan, err := plan.checked()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{plan: plan, full: cancel, workers: make([]worker, plan.Connections)}
	var group sync.WaitGroup
	for n := range r.workers {
		group.Go(func() { r.workers[n].work(ctx, r, plan.Script(n)) })
	}
	elapsed, usages, err := r.measure(ctx)
	cancel()
	group.Wait()
	if err != nil {
		return Result{}, err
	}
	return r.result(elapsed, usages), nil
}

// run is the state that the connections share.
type run struct {
	plan      Plan
	workers   []worker
	measuring atomic.Bool
	completed atomic.Int64
	full      context.CancelFunc // ends the run when plan.Requests is reached
}

// measure waits out the warm-up, measures, and returns how long that was. A run
// that reaches its count of requests ends early and without an error.
func (r *run) measure(ctx context.Context) (time.Duration, []Usage, error) {
	if !pause(ctx, r.plan.Warmup) {
		return 0, nil, ctx.Err()
	}
	stop, err := watch(context.WithoutCancel(ctx), r.plan.Watch)
	if err != nil {
		return 0, nil, err
	}
	start := time.Now()
	r.measuring.Store(true)
	whole := pause(ctx, r.plan.Duration)
	r.measuring.Store(false)
	elapsed := time.Since(start)
	usages, err := stop()
	if err == nil && !whole && r.completed.Load() < int64(r.plan.Requests) {
		err = ctx.Err()
	}
	return elapsed, usages, err
}

// pause waits and reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (r *run) result(elapsed time.Duration, usages []Usage) Result {
	result := Result{Elapsed: elapsed, Failures: map[string]int{}, Processes: usages}
	var latency, firstByte []time.Duration
	for _, w := range r.workers {
		latency = append(latency, w.latency...)
		firstByte = append(firstByte, w.firstByte...)
		for text, count := range w.failures {
			result.Failures[text] += count
		}
	}
	result.Requests = len(latency) + result.Failed()
	result.Latency, result.FirstByte = Summarize(latency), Summarize(firstByte)
	return result
}

// worker is one connection and what it measured.
type worker struct {
	latency, firstByte []time.Duration
	failures           map[string]int
}

func (w *worker) work(ctx context.Context, r *run, script Script) {
	c := &connection{address: r.plan.Address, timeout: r.plan.Timeout}
	defer c.close()
	w.failures = map[string]int{}
	for ctx.Err() == nil {
		request := script.Next()
		got, err := c.ask(request)
		if err == nil {
			err = script.Judge(got.status, got.body)
		}
		if r.measuring.Load() && !w.count(r, got, err) {
			return
		}
		if err != nil {
			pause(ctx, pauseAfterFailure)
		}
	}
}

// count notes a completed request and reports whether more are wanted.
func (w *worker) count(r *run, got answer, err error) bool {
	done := r.completed.Add(1)
	if done > int64(r.plan.Requests) {
		return false
	}
	if err != nil {
		w.failures[err.Error()]++
	} else {
		w.latency = append(w.latency, got.whole)
		w.firstByte = append(w.firstByte, got.firstByte)
	}
	if done == int64(r.plan.Requests) {
		r.full()
	}
	return true
}
