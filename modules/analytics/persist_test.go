package analytics

import (
	"testing"
	"time"

	"llmhist/platform/fault"
)

// persist repeats a call that may fail for the moment, as the recorder and the
// eraser do: where the machine is slow a document database can take longer than
// an operation may.
func persist(t testing.TB, call func() error) {
	t.Helper()
	for deadline := time.Now().Add(2 * batchLease); ; time.Sleep(100 * time.Millisecond) {
		err := call()
		if err == nil {
			return
		}
		if !fault.Is(err, fault.Unavailable) || time.Now().After(deadline) {
			t.Error(err)
			return
		}
	}
}

// settled completes what calls that failed for the moment left behind, as a
// process does once their lease is over.
func settled(t testing.TB, s store) {
	t.Helper()
	if s.documents != nil {
		persist(t, func() error { return afterLease(s.documents).recover(t.Context()) })
	}
}
