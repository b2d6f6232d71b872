package memory

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// spare is how many bytes of garbage may gather where little memory is in use.
	spare = 24 << 20
	// usual is the runtime's own measure: as much garbage as is in use, in percent.
	usual = 100
	// rarest keeps the garbage within four times of what is in use.
	rarest = 400
)

// CollectRarely lets more garbage gather than the runtime would while little memory
// is in use, until ctx ends: a server that holds 4 MiB would else collect at each
// further 4, many times a second under load. Once spare is in use it is as the
// runtime has it. It does nothing where GOGC says what to do.
func CollectRarely(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	last := 0
	afterEachCollection(ctx, func() {
		if percent := percentFor(inUse()); percent != last { // setting it stops everything for a moment
			debug.SetGCPercent(percent)
			last = percent
		}
	})
}

// percentFor returns how much garbage may gather beside live bytes, in percent of
// them, in steps.
func percentFor(live uint64) int {
	const step = 50
	return int(min(max(spare*100/max(live, 1), usual), rarest) / step * step)
}

func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64()
}

// afterEachCollection calls do after every collection until ctx ends. Something that
// nobody holds is collected each time, and what was to be done then is done on a
// goroutine of the runtime.
func afterEachCollection(ctx context.Context, do func()) {
	type nothing struct{ _ [16]byte } // not so small that the runtime puts several together
	var again func(struct{})
	again = func(struct{}) {
		if ctx.Err() != nil {
			return
		}
		do()
		runtime.AddCleanup(&nothing{}, again, struct{}{})
	}
	runtime.AddCleanup(&nothing{}, again, struct{}{})
}
