package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbox"
)

const (
	// maxBatch events, or those of maxWait, are stored in one transaction.
	maxBatch = 500
	maxWait  = 200 * time.Millisecond
	// appendTimeout bounds one attempt to store a batch.
	appendTimeout = 10 * time.Second
	// lateAfter its request arrived, an event comes too late for the erasure of its
	// account to find it for certain: that is repeated half an hour after it.
	lateAfter = 10 * time.Minute
	// isolateAfter attempts that failed for another reason than the state of
	// the storage, the events of the batch are tried one by one.
	isolateAfter = 3
)

// Stats says how the recording of events goes.
type Stats struct {
	Queued        int64     // accepted and not yet stored
	QueuedBytes   int64     // what they take
	Oldest        time.Time // since when the oldest of them has waited; zero when none does
	Recorded      int64     // stored
	Dropped       int64     // lost: no room, damaged on the disk, or refused by the storage for what it is
	FailedBatches int64     // attempts to store that failed; each batch is tried again
}

// recorder puts events into the outbox and stores what comes out of it.
type recorder struct {
	outbox *outbox.Outbox
	append func(ctx context.Context, events []Event) error
	known  func(ctx context.Context, userIDs []int64) ([]int64, error) // see Deps.KnownUsers
	keep   time.Duration                                               // for how long the storage keeps single events
	now    func() time.Time
	logger *slog.Logger

	refused    atomic.Int64 // of the outbox's delivered ones, those that were not stored
	lastStored atomic.Int64 // Unix nanoseconds
}

// openRecorder opens the outbox in config.Dir, of which the settings of batches
// are the recorder's. It stores what an earlier process left there.
func openRecorder(config outbox.Config, r *recorder) (_ *recorder, err error) {
	config.BatchSize, config.Wait = maxBatch, maxWait
	r.outbox, err = outbox.Open(config, r.store, r.logger)
	return r, err
}

// add records an event, or counts it as dropped when there is no room.
func (r *recorder) add(e *Event) {
	record, err := json.Marshal(recordOf(e))
	if err != nil { // a struct of numbers and texts always has JSON
		panic(err)
	}
	_ = r.outbox.Add(record) // it counts and logs what it refuses
}

func (r *recorder) stats() Stats {
	s, refused := r.outbox.Stats(), r.refused.Load()
	return Stats{
		Queued: s.Records, QueuedBytes: s.Bytes, Oldest: s.Oldest, Recorded: s.Delivered - refused,
		Dropped: s.Dropped + s.Damaged + refused, FailedBatches: s.Failures,
	}
}

// store appends a batch. Append counts an event once however often it is tried,
// so an attempt whose answer was lost does no harm.
func (r *recorder) store(ctx context.Context, batch outbox.Batch) error {
	events := r.events(batch)
	if len(events) == 0 {
		return nil
	}
	err := r.try(ctx, events)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if attempt := batch.Attempt; attempt&(attempt-1) == 0 { // ever more rarely
		r.logger.Warn("usage events not stored, trying again", "events", len(events), "attempt", attempt, "code", fault.CodeOf(err), "cause", err.Error())
	}
	if batch.Attempt >= isolateAfter && !passing(err) {
		return r.isolate(ctx, events, batch.Since)
	}
	return err
}

// events decodes a batch. An event that may have been stored before, and so long
// ago that its row may be gone by now, is left out: it would count twice.
func (r *recorder) events(batch outbox.Batch) []Event {
	forgotten := r.now().Add(-r.keep)
	events := make([]Event, 0, len(batch.Records))
	for _, record := range batch.Records {
		var read eventRecord
		err := json.Unmarshal(record, &read)
		if err != nil || read.ID == "" || batch.Again && read.at().Before(forgotten) {
			r.refused.Add(1)
			r.logger.Error("usage event dropped: it is damaged or older than ANALYTICS_KEEP_EVENTS", "id", read.ID)
			continue
		}
		events = append(events, read.event())
	}
	return events
}

// isolate stores the events one by one. An event that fails while others, also
// of other batches, are stored is dropped, so that one the storage will never
// take is not tried for ever; when all fail, none is.
func (r *recorder) isolate(ctx context.Context, events []Event, since time.Time) error {
	var left []Event
	var last error
	for i, e := range events {
		err := r.try(ctx, events[i:i+1])
		switch {
		case err == nil:
		case passing(err) || ctx.Err() != nil:
			return err
		default:
			left, last = append(left, e), err
		}
	}
	if r.lastStored.Load() <= since.UnixNano() {
		return last
	}
	for _, e := range left {
		r.logger.Error("usage event dropped: the storage does not take it", "id", e.ID, "service", e.Service)
	}
	r.refused.Add(int64(len(left)))
	return nil
}

func (r *recorder) try(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	err := r.disown(ctx, events)
	if err == nil {
		err = r.append(ctx, events)
	}
	if err == nil {
		r.lastStored.Store(time.Now().UnixNano())
	}
	return err
}

// disown takes the person out of late events whose account is gone. They waited
// while no storage took them, or for a server that was stopped, and nobody would
// erase them any more.
func (r *recorder) disown(ctx context.Context, events []Event) error {
	before := r.now().Add(-lateAfter)
	late := map[int64][]*Event{}
	for i := range events {
		if e := &events[i]; e.At.Before(before) && e.UserID != nil && *e.UserID > 0 {
			late[*e.UserID] = append(late[*e.UserID], e)
		}
	}
	if len(late) == 0 || r.known == nil {
		return nil
	}
	known, err := r.known(ctx, slices.Sorted(maps.Keys(late)))
	if err != nil {
		return err
	}
	for _, id := range known {
		delete(late, id)
	}
	for _, list := range late {
		for _, e := range list {
			e.disown()
		}
	}
	return nil
}

// passing reports whether the error is about the state of the storage rather
// than about what was to be stored.
func passing(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.OutOfSpace) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// eventRecord is an event as it waits in the outbox. A later release must be
// able to read what an earlier one left there.
type eventRecord struct {
	ID           string `json:"id"`
	At           int64  `json:"at"` // Unix milliseconds
	UserID       *int64 `json:"user,omitempty"`
	Service      string `json:"service"`
	Action       string `json:"action"`
	RequestID    string `json:"request,omitempty"`
	Provider     string `json:"provider,omitempty"`
	Model        string `json:"model,omitempty"`
	Status       Status `json:"status"`
	LatencyMS    int64  `json:"latency_ms"`
	TTFTMS       *int64 `json:"ttft_ms,omitempty"`
	InputTokens  int64  `json:"input_tokens,omitempty"`
	OutputTokens int64  `json:"output_tokens,omitempty"`
	InputBytes   int64  `json:"input_bytes,omitempty"`
	OutputBytes  int64  `json:"output_bytes,omitempty"`
	CostNanoUSD  int64  `json:"cost_nano_usd,omitempty"`
	HTTPStatus   int    `json:"http_status"`
	Code         string `json:"code,omitempty"`
	ObjectID     string `json:"object,omitempty"`
	Estimated    bool   `json:"estimated,omitempty"`
}

func recordOf(e *Event) eventRecord {
	return eventRecord{
		ID: e.ID, At: e.At.UnixMilli(), UserID: e.UserID, Service: e.Service, Action: e.Action, RequestID: e.RequestID,
		Provider: e.Provider, Model: e.Model, Status: e.Status, LatencyMS: e.LatencyMS, TTFTMS: e.TTFTMS,
		InputTokens: e.InputTokens, OutputTokens: e.OutputTokens, InputBytes: e.InputBytes, OutputBytes: e.OutputBytes,
		CostNanoUSD: e.CostNanoUSD, HTTPStatus: e.HTTPStatus, Code: e.Code, ObjectID: e.ObjectID, Estimated: e.Estimated,
	}
}

func (r *eventRecord) at() time.Time { return time.UnixMilli(r.At).UTC() }

func (r *eventRecord) event() Event {
	e := Event{
		ID: r.ID, At: r.at(), UserID: r.UserID, Service: r.Service, Action: r.Action, RequestID: r.RequestID,
		Provider: r.Provider, Model: r.Model, Status: r.Status, LatencyMS: r.LatencyMS, TTFTMS: r.TTFTMS,
		InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, InputBytes: r.InputBytes, OutputBytes: r.OutputBytes,
		CostNanoUSD: r.CostNanoUSD, HTTPStatus: r.HTTPStatus, Code: r.Code, ObjectID: r.ObjectID, Estimated: r.Estimated,
	}
	e.sanitize()
	return e
}
