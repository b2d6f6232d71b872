//go:build !race

package main

import (
	"os"
	"testing"

	"llmhist/bench/crash"
)

// ownEngines starts PostgreSQL, a server of MongoDB's protocol, S3 and Redis
// that the test may kill.
func ownEngines(t *testing.T) *crash.Larger {
	t.Helper()
	binaries, err := crash.BinariesFromEnv()
	if err != nil {
		if requireAll() {
			t.Fatal("LLMHIST_TEST_ALL requires servers to kill: ", err)
		}
		t.Skip("SKIPPED: no servers to kill; use make test-all: ", err)
	}
	dir, err := os.MkdirTemp("", "llmhist-engines-*") // where another user may go: not below t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	larger, err := crash.OpenLarger(dir, binaries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := larger.Close(); err != nil {
			t.Error(err)
		}
	})
	return larger
}

// engineCycles is how often each engine is killed under load.
const engineCycles = 3

// Each engine is killed in a set of its own: an account whose erasure the end of
// one broke off is still being erased when the next one's turn comes.
func TestNothingAcknowledgedIsLostWhenAnEngineIsKilled(t *testing.T) {
	names := []string{"postgres", "s3", "mongo", "redis"}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			larger := ownEngines(t)
			engine := larger.Find(name)
			if engine == nil || len(larger.Engines) != len(names) {
				t.Fatalf("the engines are not %v, and %s is to be killed", names, name)
			}
			r := openCrash(t, larger, 0)
			for range engineCycles {
				if _, err := r.EngineCycle(engine); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.RestartAndLook(); err != nil {
				t.Fatal(err)
			}
			finishCrash(t, r)
		})
	}
}

func TestNothingAcknowledgedIsLostToAKillOnTheLargerEngines(t *testing.T) {
	t.Parallel() // beside those that wait
	larger := ownEngines(t)
	r := openCrash(t, larger, 0)
	for range 20 {
		if err := r.KillCycle(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		if err := r.KillTogether(larger.Engines[i%len(larger.Engines)]); err != nil {
			t.Fatal(err)
		}
	}
	finishCrash(t, r)
}
