package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"llmhist/modules/analytics"
	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// hoursStream is the stream of the hours in an archive of analytics.
const hoursStream = "analytics.hours"

// fillDocuments brings the hours of all events into documents as a restoration
// does, which makes the longer sums when they are all there.
func fillDocuments(ctx context.Context, documents *database.Mongo, o options, now time.Time) (filled, error) {
	var f filled
	if err := analytics.EnsureIndexes(ctx, documents); err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp("", "llmhist-hours-")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stage := archive.NewStage(dir)
	defer stage.Close()
	starts, counts := perHour(o, now)
	c := newCrowd(rand.New(rand.NewPCG(5, 6)), o.accounts)
	for i, start := range starts {
		for key, r := range c.hour(start, counts[i]) {
			if err := stage.Write(hoursStream, r.archived(start.Unix(), key)); err != nil {
				return f, err
			}
			f.hours++
			f.latencies += int64(len(r.buckets))
		}
	}
	if _, err := stage.Finish(hoursStream); err != nil {
		return f, err
	}
	lines, err := stage.Lines(hoursStream)
	if err != nil {
		return f, err
	}
	defer func() { _ = lines.Close() }()
	began := time.Now()
	into := analytics.NewArchive(nil, documents)
	if err := into.Import(ctx, hoursStream, lines); err != nil {
		return f, err
	}
	f.loaded = time.Since(began)
	say("MongoDB: hours of %d events in %s", o.events, f.loaded.Round(time.Second))
	began = time.Now()
	if err := into.Complete(ctx); err != nil {
		return f, err
	}
	f.derived = time.Since(began)
	say("MongoDB: longer sums in %s", f.derived.Round(time.Second))
	f.sums, err = database.CountDocuments(ctx, documents, "analytics_everyone", "analytics_sums")
	return f, err
}

// archived returns the row as a line of an archive.
func (r *row) archived(hour int64, key rowKey) map[string]any {
	m := models[key.model]
	latencies := [][2]int64{}
	for bucket, n := range r.buckets {
		latencies = append(latencies, [2]int64{int64(bucket), n})
	}
	return map[string]any{
		"hour": hour, "user_id": key.user, "service": m.service, "provider": m.provider, "model": m.model, "requests": r.requests, "failed": r.failed,
		"input_tokens": r.inputTokens, "output_tokens": r.outputTokens, "input_bytes": r.inputBytes, "output_bytes": r.outputBytes,
		"cost_nano_usd": r.cost, "latency_sum_ms": r.latencySum, "latency_count": r.latencyCount, "ttft_sum_ms": r.ttftSum, "ttft_count": r.ttftCount,
		"first_ms": r.first, "last_ms": r.last, "latencies": latencies,
	}
}
