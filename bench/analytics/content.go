package main

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// The content is that of an installation whose accounts differ much: the
// busiest makes more than a hundred times the requests of one in the middle, and
// one request in twenty is anonymous. Requests come in bursts, and more of them
// by day than by night.
const (
	anonymousShare = 0.05
	failedShare    = 0.04
	burst          = 4 // requests at most, of one account to one model
)

// models are what requests are made to, by the share of each.
var models = []struct {
	service, provider, model string
	share                    float64
	median                   float64 // of latencies, in milliseconds
}{
	{"chat", "openai", "large-1", 0.28, 1800}, {"chat", "openai", "small-1", 0.24, 700}, {"chat", "github", "medium-2", 0.12, 1200},
	{"chat", "local", "local/guide", 0.08, 30}, {"image", "pollinations", "flux", 0.08, 4000}, {"image", "local", "local/canvas", 0.04, 120},
	{"speech", "local", "local/flite", 0.06, 90}, {"speech", "gtts", "translate", 0.04, 400}, {"embedding", "openai", "embed-3", 0.05, 150},
	{"chat", "", "", 0.01, 5},
}

// rowKey is what the hours are kept by, within one hour.
type rowKey struct {
	user  int64
	model int
}

// row is the sums of an hour.
type row struct {
	requests, failed, inputTokens, outputTokens, inputBytes, outputBytes, cost int64
	latencySum, latencyCount, ttftSum, ttftCount, first, last                  int64
	buckets                                                                    map[int]int64
}

// crowd draws accounts, the first ones most often.
type crowd struct {
	random *rand.Rand
	upTo   []float64 // sums of the weights
}

func newCrowd(random *rand.Rand, accounts int) *crowd {
	c := &crowd{random: random, upTo: make([]float64, accounts)}
	total := 0.0
	for i := range c.upTo {
		total += 1 / math.Pow(float64(i+8), 0.9)
		c.upTo[i] = total
	}
	return c
}

// draw returns the id of an account, or 0 for nobody.
func (c *crowd) draw() int64 {
	if c.random.Float64() < anonymousShare {
		return 0
	}
	at := c.random.Float64() * c.upTo[len(c.upTo)-1]
	return int64(1 + sort.SearchFloat64s(c.upTo, at))
}

func (c *crowd) drawModel() int {
	at := c.random.Float64()
	for i, m := range models {
		if at -= m.share; at < 0 {
			return i
		}
	}
	return 0
}

// hour makes count events of one hour and returns their sums.
func (c *crowd) hour(start time.Time, count int) map[rowKey]*row {
	rows := map[rowKey]*row{}
	for count > 0 {
		key := rowKey{c.draw(), c.drawModel()}
		if rows[key] == nil {
			rows[key] = &row{first: math.MaxInt64, buckets: map[int]int64{}}
		}
		for range min(count, 1+c.random.IntN(burst)) {
			c.add(rows[key], start, models[key.model].median)
			count--
		}
	}
	return rows
}

func (c *crowd) add(r *row, start time.Time, median float64) {
	at := start.UnixMilli() + c.random.Int64N(3_600_000)
	r.first, r.last = min(r.first, at), max(r.last, at)
	r.requests++
	if c.random.Float64() < failedShare {
		r.failed++
		return
	}
	latency := int64(median * math.Exp(0.6*c.random.NormFloat64()))
	r.latencySum, r.latencyCount = r.latencySum+latency, r.latencyCount+1
	r.ttftSum, r.ttftCount = r.ttftSum+latency/4, r.ttftCount+1
	r.inputTokens += c.random.Int64N(2000)
	r.outputTokens += c.random.Int64N(800)
	r.inputBytes += c.random.Int64N(8000)
	r.outputBytes += c.random.Int64N(4000)
	r.cost += c.random.Int64N(2_000_000)
	r.buckets[bucketOf(latency)]++
}

// bucketOf is the bucket of the module's histograms: bucket i ends at 2^(i/2) ms.
func bucketOf(ms int64) int {
	return sort.Search(40, func(i int) bool { return float64(ms) <= math.Exp2(float64(i)/2) })
}

// perHour spreads events over the hours until now, twice as many around noon as
// the mean and few at night.
func perHour(o options, now time.Time) (starts []time.Time, counts []int) {
	hours := 24 * o.days
	first := now.Truncate(time.Hour).Add(-time.Duration(hours-1) * time.Hour)
	left, weight := o.events, 0.0
	weights := make([]float64, hours)
	for i := range weights {
		at := first.Add(time.Duration(i) * time.Hour)
		weights[i] = 1 + 0.9*math.Sin(float64(at.Hour()-7)/24*2*math.Pi)
		weight += weights[i]
		starts = append(starts, at)
	}
	for i := range weights {
		count := int(math.Round(float64(left) * weights[i] / weight))
		weight -= weights[i]
		left -= count
		counts = append(counts, count)
	}
	return starts, counts
}
