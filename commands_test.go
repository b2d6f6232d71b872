package main

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"
)

func TestTheCollectorWaitsOnlyWhileTheServerStarts(t *testing.T) {
	usual := debug.SetGCPercent(70)
	t.Cleanup(func() { debug.SetGCPercent(usual) })
	for _, test := range []struct {
		gogc      string
		meanwhile int
	}{{"", 400}, {"70", 70}} {
		t.Setenv("GOGC", test.gogc)
		synctest.Test(t, func(t *testing.T) {
			started := startLeanly()
			if got := debug.SetGCPercent(test.meanwhile); got != test.meanwhile {
				t.Errorf("GOGC=%q: %d while it starts, want %d", test.gogc, got, test.meanwhile)
			}
			started(context.Background())
			if got := debug.SetGCPercent(70); got != 70 {
				t.Errorf("GOGC=%q: %d after it, want 70", test.gogc, got)
			}
		})
	}
}
