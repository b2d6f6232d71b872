package transfer

import (
	"sync/atomic"
)

// Progress says how far a transfer has come. It may be read while it runs.
type Progress struct {
	phase   atomic.Value // string
	rows    atomic.Int64
	objects atomic.Int64
	bytes   atomic.Int64 // of objects
	skipped atomic.Int64 // objects that were there already
}

// Figures are what Progress holds at one moment.
type Figures struct {
	Phase                          string
	Rows, Objects, Bytes, NotMoved int64
}

// Figures returns where the transfer stands.
func (p *Progress) Figures() Figures {
	phase, _ := p.phase.Load().(string)
	return Figures{phase, p.rows.Load(), p.objects.Load(), p.bytes.Load(), p.skipped.Load()}
}

// Begin says what is being done now.
func (p *Progress) Begin(phase string) { p.phase.Store(phase) }
