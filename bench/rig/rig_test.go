package rig

import (
	"testing"
	"time"

	"llmhist/bench/load"
)

func TestSpreadIsTheMedianAndTheExtremes(t *testing.T) {
	of := func(requests int) load.Result { return load.Result{Elapsed: time.Second, Requests: requests} }
	results := []load.Result{of(300), of(100), of(200), of(400)}
	if got, want := SpreadOf(results, load.Result.PerSecond), (Spread{Median: 200, Min: 100, Max: 400}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := SpreadOf(nil, load.Result.PerSecond); got != (Spread{}) {
		t.Errorf("the spread of nothing is %v", got)
	}
}

func TestParseMachineCPU(t *testing.T) {
	busy, stolen, err := parseMachineCPU("cpu  100 1 50 9999 77 3 4 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if err != nil || busy != 1580*time.Millisecond || stolen != 60*time.Millisecond {
		t.Errorf("busy %v, stolen %v, %v", busy, stolen, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"} {
		if _, _, err := parseMachineCPU(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestNoiseIsWhatNobodyOfOursUsed(t *testing.T) {
	begin := Clock{at: time.Unix(0, 0), own: make([]time.Duration, 1)}
	end := Clock{at: time.Unix(1000, 0), busy: 1e6 * time.Second, own: make([]time.Duration, 1)} // more than any machine has
	if got := end.Since(begin).Others; got <= 0 {
		t.Errorf("others used %v", got)
	}
	end.busy, end.own[0] = 5*time.Second, 10*time.Second // steps of 10 ms may sum up to more
	if got := end.Since(begin).Others; got != 0 {
		t.Errorf("others used %v", got)
	}
}
