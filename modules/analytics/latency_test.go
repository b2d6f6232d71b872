package analytics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsEndWhereTheySay(t *testing.T) {
	if last := latencyBound(latencyBuckets - 2); last < 10*60*1000 {
		t.Errorf("ten minutes do not fit: %v ms", last)
	}
	for _, c := range []struct {
		ms   int64
		want int
	}{{0, 0}, {1, 0}, {2, 2}, {3, 4}, {4, 4}, {5, 5}, {6, 6}, {1024, 20}, {1025, 21}, {600_000, 39}, {741_455, 39}, {741_456, 40}, {math.MaxInt64, 40}} {
		if got := latencyBucket(c.ms); got != c.want {
			t.Errorf("%d ms: bucket %d, want %d", c.ms, got, c.want)
		}
	}
}

func TestPercentilesAreWithinOneBucketOfTheExactOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int64{
		"uniform":     func() int64 { return random.Int64N(5000) },
		"exponential": func() int64 { return int64(random.ExpFloat64() * 800) },
		"log-normal":  func() int64 { return int64(math.Exp(6 + 1.5*random.NormFloat64())) },
		"two humps":   func() int64 { return []int64{20, 9000}[random.IntN(2)] + random.Int64N(10) },
		"one value":   func() int64 { return 777 },
		"fast":        func() int64 { return random.Int64N(3) },
	} {
		for _, size := range []int{1, 2, 3, 19, 100, 5000} {
			var h Histogram
			exact := make([]int64, size)
			for i := range exact {
				exact[i] = draw()
				h[latencyBucket(exact[i])]++
			}
			slices.Sort(exact)
			got := h.Percentiles()
			for _, c := range []struct {
				share float64
				got   int64
			}{{0.50, got.P50}, {0.95, got.P95}, {0.99, got.P99}} {
				want := exact[int(math.Ceil(c.share*float64(size)))-1]
				bucket := latencyBucket(want)
				low, high := latencyBound(bucket-1), latencyBound(bucket)
				if float64(c.got) < math.Floor(low) || float64(c.got) > math.Ceil(high) {
					t.Errorf("%s, %d values, p%.0f: %d ms, exactly %d ms, in (%.1f, %.1f]", name, size, 100*c.share, c.got, want, low, high)
				}
			}
			if got.P50 > got.P95 || got.P95 > got.P99 {
				t.Errorf("%s: not in order: %+v", name, got)
			}
		}
	}
}

func TestNoLatenciesHaveZeroPercentiles(t *testing.T) {
	var h Histogram
	if got := h.Percentiles(); got != (Percentiles{}) {
		t.Errorf("got %+v", got)
	}
}

func TestPercentilesInterpolate(t *testing.T) {
	var h Histogram
	h[latencyBucket(16)] = 100 // (11.3, 16]
	if got := h.Percentiles(); got != (Percentiles{P50: 14, P95: 16, P99: 16}) {
		t.Errorf("got %+v", got)
	}
}
