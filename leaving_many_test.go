//go:build !race

package main

import "testing"

func TestOfTwentyThousandWhoLeaveNoneIsAnsweredToSomebodyElse(t *testing.T) {
	if !requireAll() {
		t.Skip("SKIPPED: takes half a minute; make test-all")
	}
	leave(t, 20_000)
}
