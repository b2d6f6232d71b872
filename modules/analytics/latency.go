package analytics

import (
	"math"
	"sort"
)

// latencyBuckets is the length of a Histogram: bucket 0 ends at 1 ms, each next
// one at √2 times more, number 39 at 12.4 minutes, and the last takes the rest.
const latencyBuckets = 41

// Histogram counts latencies in geometric buckets. Histograms of any hours,
// users and services add up to the histogram of all of them, which percentiles
// themselves would not.
type Histogram [latencyBuckets]int64

// Percentiles are latencies in milliseconds below which that share of requests
// stayed; all 0 when there were none.
type Percentiles struct{ P50, P95, P99 int64 }

// latencyBound returns where bucket i ends, in milliseconds.
func latencyBound(i int) float64 {
	if i < 0 {
		return 0
	}
	return math.Exp2(float64(i) / 2)
}

// latencyBucket returns the bucket of a latency: the first one that does not
// end before it.
func latencyBucket(ms int64) int {
	return sort.Search(latencyBuckets-1, func(i int) bool { return float64(ms) <= latencyBound(i) })
}

// Add adds other to h.
func (h *Histogram) Add(other Histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// Percentiles reads p50, p95 and p99 from the buckets.
func (h *Histogram) Percentiles() Percentiles {
	return Percentiles{P50: h.percentile(0.50), P95: h.percentile(0.95), P99: h.percentile(0.99)}
}

// percentile finds the bucket of the nearest rank and interpolates in it, so
// that the error is less than the width of one bucket.
func (h *Histogram) percentile(share float64) int64 {
	var total int64
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := max(1, int64(math.Ceil(share*float64(total))))
	var below int64
	for i, n := range h {
		if below+n < rank {
			below += n
			continue
		}
		low, high := latencyBound(i-1), latencyBound(i)
		return int64(math.Round(low + (high-low)*float64(rank-below)/float64(n)))
	}
	return int64(latencyBound(latencyBuckets - 1)) // not reached: rank ≤ total
}
