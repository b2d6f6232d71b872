package memory

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestGarbageGathersWhereLittleIsInUse(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 6 << 20: 400, 12 << 20: 200, 13 << 20: 150, 24 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("beside %d bytes: %d %%, want %d", live, got, want)
		}
	}
}

func TestTheMeasureIsTakenAfterEachCollectionUntilTheEnd(t *testing.T) {
	var taken atomic.Int64
	ctx, end := context.WithCancel(t.Context())
	defer end()
	afterEachCollection(ctx, func() { taken.Add(1) })
	collectUntil := func(n int64) bool {
		for deadline := time.Now().Add(10 * time.Second); taken.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return false
			}
			runtime.GC()
		}
		return true
	}
	if !collectUntil(3) {
		t.Errorf("taken %d times", taken.Load())
	}
	end()
	time.Sleep(10 * time.Millisecond) // one can be at it
	before := taken.Load()
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if taken.Load() != before {
		t.Error("taken after the end")
	}
}
