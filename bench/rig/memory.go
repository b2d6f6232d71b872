package rig

import (
	"time"

	"llmhist/bench/load"
)

// Memory is the resident memory of a process around a piece of work, in bytes.
type Memory struct {
	Base, Peak, After int64
	Took              time.Duration
}

// Growth returns how far the peak was above the base.
func (m Memory) Growth() int64 { return m.Peak - m.Base }

// MeasureMemory does work and returns what the process, this one or a child,
// had resident meanwhile.
func MeasureMemory(pid int, work func() error) (Memory, error) {
	var m Memory
	err := load.ResetPeakRSS(pid)
	if err != nil {
		return m, err
	}
	if m.Base, err = load.RSS(pid); err != nil {
		return m, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return m, err
	}
	m.Took = time.Since(began)
	if m.Peak, err = load.PeakRSS(pid); err != nil {
		return m, err
	}
	m.After, err = load.RSS(pid)
	return m, err
}
