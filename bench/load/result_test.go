package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func milliseconds(numbers ...int) []time.Duration {
	list := make([]time.Duration, len(numbers))
	for i, n := range numbers {
		list[i] = time.Duration(n) * time.Millisecond
	}
	return list
}

func upTo(n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = time.Duration(i+1) * time.Millisecond
	}
	return list
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	for _, test := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"none is zero", nil, 50, 0},
		{"one is every percentile", milliseconds(7), 1, 7 * time.Millisecond},
		{"the median of an even count is the lower one", milliseconds(1, 2, 3, 4), 50, 2 * time.Millisecond},
		{"the median of an odd count is the middle one", milliseconds(1, 2, 9), 50, 2 * time.Millisecond},
		{"p99 of a hundred is the 99th", upTo(100), 99, 99 * time.Millisecond},
		{"p99 of ten is the greatest", upTo(10), 99, 10 * time.Millisecond},
		{"p0 is the smallest", upTo(10), 0, time.Millisecond},
		{"p100 is the greatest", upTo(10), 100, 10 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Percentile(test.sorted, test.p); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSummarizeSortsFirst(t *testing.T) {
	got := Summarize(milliseconds(5, 1, 4, 2, 3))
	want := Summary{Count: 5, P10: time.Millisecond, P50: 3 * time.Millisecond, P90: 5 * time.Millisecond, P99: 5 * time.Millisecond, Max: 5 * time.Millisecond}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRatesCountWhatSucceeded(t *testing.T) {
	r := Result{
		Elapsed: 2 * time.Second, Requests: 100, Failures: map[string]int{"status 500": 15, "status 429": 5},
		Processes: []Usage{{CPU: 50 * time.Millisecond}},
	}
	if got := r.Failed(); got != 20 {
		t.Errorf("%d failed", got)
	}
	if got := r.PerSecond(); got != 40 {
		t.Errorf("%v succeeded in a second", got)
	}
	if got := r.CPUPerRequest(0); got != 500*time.Microsecond {
		t.Errorf("%v of CPU for each request", got)
	}
	if got := r.CPUPerRequest(1); got != 0 {
		t.Errorf("%v of CPU of a process that was not watched", got)
	}
	if got := (Result{}).PerSecond(); got != 0 {
		t.Errorf("an empty result has %v requests a second", got)
	}
}
