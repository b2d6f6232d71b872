package analytics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"llmhist/platform/fault"
)

const (
	// maxBatch events, or those of maxWait, are stored in one transaction.
	maxBatch = 500
	maxWait  = 200 * time.Millisecond
	// appendTimeout bounds one attempt to store a batch.
	appendTimeout = 10 * time.Second
	// The pause after a failed attempt doubles from firstPause to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// isolateAfter attempts that failed for another reason than the state of
	// the storage, the events of the batch are tried one by one.
	isolateAfter = 3
)

// Stats says how the recording of events goes.
type Stats struct {
	Queued        int64 // accepted and not yet stored
	Recorded      int64 // stored
	Dropped       int64 // lost: the queue was full, the module closed, or the storage refused that one event
	FailedBatches int64 // attempts to store that failed; each batch is tried again
}

// queue takes events from requests without making them wait, and stores them in
// batches from the one goroutine it owns.
type queue struct {
	append func(ctx context.Context, events []Event) error
	logger *slog.Logger

	mu     sync.RWMutex // held for reading while sending, so that close sees every event
	closed bool
	events chan *Event
	flush  chan chan struct{}

	life context.Context // ends when close gives up waiting for the storage
	kill context.CancelFunc
	done chan struct{} // closed when the goroutine has ended

	queued, recorded, dropped, failedBatches atomic.Int64
}

func startQueue(size int, appendTo func(context.Context, []Event) error, logger *slog.Logger) *queue {
	q := &queue{
		append: appendTo, logger: logger,
		events: make(chan *Event, size), flush: make(chan chan struct{}), done: make(chan struct{}),
	}
	q.life, q.kill = context.WithCancel(context.Background())
	go q.run()
	return q
}

// add takes an event, or counts it as dropped when there is no room. It never
// waits.
func (q *queue) add(e *Event) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		q.dropped.Add(1)
		return
	}
	q.queued.Add(1) // before the event can be stored, so that settle cannot miss it
	select {
	case q.events <- e:
	default:
		q.queued.Add(-1)
		q.dropped.Add(1)
	}
}

// settle returns when every event that was added before is stored or dropped.
func (q *queue) settle(ctx context.Context) error {
	if q.queued.Load() == 0 {
		return nil
	}
	settled := make(chan struct{})
	select {
	case q.flush <- settled:
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close stores what is queued and ends the goroutine. When ctx ends first, the
// rest is given up, and the error says how much that is.
func (q *queue) close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.events)
	}
	q.mu.Unlock()
	before := q.dropped.Load()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.kill()
		<-q.done
	}
	q.kill()
	if lost := q.dropped.Load() - before; lost > 0 {
		return fmt.Errorf("%d usage events could not be stored before the stop", lost)
	}
	return nil
}

func (q *queue) stats() Stats {
	return Stats{Queued: q.queued.Load(), Recorded: q.recorded.Load(), Dropped: q.dropped.Load(), FailedBatches: q.failedBatches.Load()}
}

func (q *queue) run() {
	defer close(q.done)
	for open := true; open; {
		var batch []Event
		var settled chan struct{}
		batch, settled, open = q.collect()
		q.store(batch)
		if settled == nil {
			continue
		}
		for n := len(q.events); n > 0; n -= maxBatch {
			q.store(q.topUp(nil))
		}
		close(settled)
	}
}

// collect waits for the first event and gathers until the batch is full, old
// enough, or asked for by settle. open is false when the queue is closed and
// empty.
func (q *queue) collect() (batch []Event, settled chan struct{}, open bool) {
	var old <-chan time.Time
	for len(batch) < maxBatch {
		select {
		case e, more := <-q.events:
			if !more {
				return batch, nil, false
			}
			if batch == nil {
				old = time.After(maxWait)
			}
			batch = append(batch, *e)
		case settled = <-q.flush:
			return batch, settled, true
		case <-old:
			return batch, nil, true
		}
	}
	return batch, nil, true
}

// topUp adds what is queued right now, up to a full batch.
func (q *queue) topUp(batch []Event) []Event {
	for len(batch) < maxBatch {
		select {
		case e, more := <-q.events:
			if !more {
				return batch
			}
			batch = append(batch, *e)
		default:
			return batch
		}
	}
	return batch
}

// store appends the batch, trying until it is stored or the queue is killed.
// Append counts an event once however often it is tried, so an attempt whose
// answer was lost does no harm.
func (q *queue) store(batch []Event) {
	for attempt := 1; len(batch) > 0; attempt++ {
		err := q.try(batch)
		if err == nil {
			q.finish(&q.recorded, len(batch))
			return
		}
		if q.life.Err() != nil {
			q.finish(&q.dropped, len(batch))
			return
		}
		q.failedBatches.Add(1)
		q.logger.Warn("usage events not stored, trying again", "events", len(batch), "attempt", attempt, "code", fault.CodeOf(err), "cause", err.Error())
		if attempt >= isolateAfter && !passing(err) {
			batch = q.isolate(batch)
		}
		q.pause(attempt)
		batch = q.topUp(batch)
	}
}

// isolate stores the events one by one and returns those still to be tried. An
// event that fails while others are stored is dropped, so that one the storage
// will never take cannot hold up all others; when all fail, none is.
func (q *queue) isolate(batch []Event) []Event {
	var left []Event
	for i, e := range batch {
		err := q.try(batch[i : i+1])
		switch {
		case err == nil:
			q.finish(&q.recorded, 1)
		case passing(err) || q.life.Err() != nil:
			return append(left, batch[i:]...)
		default:
			left = append(left, e)
		}
	}
	if len(left) == len(batch) {
		return left
	}
	for _, e := range left {
		q.logger.Error("usage event dropped: the storage does not take it", "id", e.ID, "service", e.Service)
	}
	q.finish(&q.dropped, len(left))
	return nil
}

func (q *queue) try(batch []Event) error {
	ctx, cancel := context.WithTimeout(q.life, appendTimeout)
	defer cancel()
	return q.append(ctx, batch)
}

func (q *queue) finish(as *atomic.Int64, events int) {
	as.Add(int64(events))
	q.queued.Add(-int64(events))
}

// passing reports whether the error is about the state of the storage rather
// than about what was to be stored.
func passing(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.OutOfSpace) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (q *queue) pause(attempt int) {
	wait := time.NewTimer(min(firstPause<<min(attempt-1, 10), lastPause))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-q.life.Done():
	}
}
