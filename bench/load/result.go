package load

import (
	"math"
	"slices"
	"time"
)

// Result is what one plan measured, over the requests that were completed in
// its measured time.
type Result struct {
	Elapsed   time.Duration // of the measurement, without the warm-up
	Requests  int           // completed, failed ones included
	Failures  map[string]int
	Latency   Summary // until the last byte, of the requests that succeeded
	FirstByte Summary // until the first byte or the marker
	Processes []Usage // in the order of Plan.Watch
}

// Failed returns how many requests failed.
func (r Result) Failed() int {
	sum := 0
	for _, count := range r.Failures {
		sum += count
	}
	return sum
}

// PerSecond returns the requests that succeeded in one second.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests-r.Failed()) / r.Elapsed.Seconds()
}

// CPUPerRequest returns the CPU time, user and system, that watched process n
// spent for each completed request; 0 when there were none.
func (r Result) CPUPerRequest(n int) time.Duration {
	if r.Requests == 0 || n >= len(r.Processes) {
		return 0
	}
	return r.Processes[n].CPU / time.Duration(r.Requests)
}

// Usage is what a process used during a measurement.
type Usage struct {
	CPU       time.Duration // user and system, in steps of 10 ms
	RSSBefore int64         // bytes of resident memory
	RSSAfter  int64
	RSSPeak   int64 // highest of the samples, one in rssEvery
}

// Summary describes a set of durations. The zero value describes none.
type Summary struct {
	Count                   int
	P10, P50, P90, P99, Max time.Duration
}

// Summarize sorts the durations and describes them.
func Summarize(durations []time.Duration) Summary {
	if len(durations) == 0 {
		return Summary{}
	}
	slices.Sort(durations)
	return Summary{
		Count: len(durations),
		P10:   Percentile(durations, 10), P50: Percentile(durations, 50), P90: Percentile(durations, 90), P99: Percentile(durations, 99),
		Max: durations[len(durations)-1],
	}
}

// Percentile returns the p-th percentile by nearest rank: the smallest of the
// sorted durations that is not exceeded by p of a hundred of them. It is 0 of
// none.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
