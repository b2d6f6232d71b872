package chat

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"llmhist/platform/fault"
)

const (
	// placeBytes is what an answer under way is reckoned to need: a short request,
	// two connections with their buffers, and the beginning of its text.
	placeBytes = 128 << 10
	// requestCopies is how often a request is in memory while it is answered: as it
	// came, as it is looked into, and as it is kept.
	requestCopies = 3
	// longBytes is what one is reckoned to need whose long text or document is in
	// memory, to be stored or sent whole.
	longBytes = 8 << 20
	// mostAnswers bounds how many answers are under way at once, and fewestPlaces and
	// mostPlaces their places, whatever memory there is.
	mostAnswers              = 1 << 14
	fewestPlaces, mostPlaces = 16, 1 << 18
	fewestLong, mostLong     = 2, 128
	// overloadPause is when a client that was refused may try again.
	overloadPause = 2 * time.Second
)

// room keeps the answers under way within the memory of the process.
type room struct {
	answers atomic.Int64  // under way
	places  int64         // for them
	taken   atomic.Int64  // of those
	long    chan struct{} // of the answers that hold a long text in memory
}

// newRoom divides memory, in bytes: half of it is for answers under way, an
// eighth for long texts. Without a limit, 0 or less, the most of both is allowed.
func newRoom(memory int64) *room {
	if memory <= 0 {
		memory = math.MaxInt64
	}
	return &room{
		places: min(max(memory/2/placeBytes, fewestPlaces), mostPlaces),
		long:   make(chan struct{}, min(max(memory/8/longBytes, fewestLong), mostLong)),
	}
}

// place is that of one answer, until it is sent. It is used by one goroutine.
type place struct {
	room    *room
	size    int64 // in places
	holding bool  // memory for a long text too
}

// enter takes a place for the answer to a request of so many bytes; a long request
// takes several, but never more than half of them. When there is none the answer
// is refused, before anything is stored or sent.
func (r *room) enter(request int) (*place, error) {
	p := &place{room: r}
	if r.answers.Add(1) > mostAnswers {
		r.answers.Add(-1)
		return nil, overloaded()
	}
	if err := p.grow(request); err != nil {
		r.answers.Add(-1)
		return nil, err
	}
	return p, nil
}

func overloaded() error {
	return &fault.Error{Kind: fault.Unavailable, Code: "overloaded", RetryAfter: overloadPause,
		Detail: "As many answers are under way as this server has memory for. Try again shortly."}
}

// grow makes the place as large as that of a request of so many bytes, which is
// what it became. It keeps its size when it is as large, or when there is no more
// and the answer is refused.
func (p *place) grow(request int) error {
	r := p.room
	more := min(1+int64(request)*requestCopies/placeBytes, r.places/2) - p.size
	if more <= 0 {
		return nil
	}
	for taken := r.taken.Load(); taken+more <= r.places; taken = r.taken.Load() {
		if r.taken.CompareAndSwap(taken, taken+more) {
			p.size += more
			return nil
		}
	}
	return overloaded()
}

// hold waits until there is memory for a long text. It may be called again.
func (p *place) hold(ctx context.Context) error {
	if p.holding {
		return nil
	}
	select {
	case p.room.long <- struct{}{}:
		p.holding = true
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Unavailable, "overloaded", "This server has no memory for the whole answer right now. Try again shortly.")
	}
}

// letGo gives back the memory for a long text.
func (p *place) letGo() {
	if p.holding {
		p.holding = false
		<-p.room.long
	}
}

// leave gives back everything.
func (p *place) leave() {
	p.letGo()
	p.room.taken.Add(-p.size)
	p.room.answers.Add(-1)
}
