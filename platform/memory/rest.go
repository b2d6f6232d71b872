// Package memory keeps the process within the memory that it may use, and gives
// back what it does not need.
package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	restEvery = 5 * time.Second
	// quiet is how many bytes a process allocates in that time that has nothing to
	// do: its timers and the questions whether it is alive.
	quiet = 4 << 20
	// worthwhile is how many bytes that nothing is in are given back.
	worthwhile = 8 << 20
)

// RestWhenIdle gives memory that nothing is in back to the system whenever the
// process has become idle, until ctx ends. The runtime itself does so as part of
// collections, and an idle process makes none for minutes: what a burst of
// requests or a password's hash needed would stay with it.
func RestWhenIdle(ctx context.Context) {
	ticker := time.NewTicker(restEvery)
	defer ticker.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if r.due(read()) {
				GiveBack()
			}
		}
	}
}

// GiveBack gives the system the memory that nothing is in, and those pages of the
// program that can be read again from its file.
func GiveBack() {
	debug.FreeOSMemory()
	forgetProgram()
}

// figures are of the runtime, in bytes.
type figures struct {
	allocated uint64 // since the process began
	held      uint64 // of the system's memory
	live      uint64 // in use for something, as the last collection found
}

func read() figures {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	of := func(i int) uint64 { return samples[i].Value.Uint64() }
	held, spare := of(1)-of(2), of(4)
	garbage := of(5) - min(of(5), of(3))
	return figures{allocated: of(0), held: held, live: held - min(held, spare+garbage)}
}

// rest decides when to give back.
type rest struct {
	allocated uint64 // at the last look
	rested    uint64 // what was allocated when memory was given back last
}

// due reports whether the process is idle and holds memory for nothing. After it
// said so it wants to see some work first.
func (r *rest) due(now figures) bool {
	idle := now.allocated-r.allocated < quiet
	r.allocated = now.allocated
	if !idle || now.held-now.live < worthwhile || now.allocated-r.rested < worthwhile {
		return false
	}
	r.rested = now.allocated
	return true
}
