// Package usage carries what one request consumed from the service that knows
// it to whoever accounts for it, without either knowing the other. A middleware
// opens a Record; services fill it in; the middleware reads it at the end.
package usage

import (
	"context"
	"sync"
	"time"
)

// Figures are the consumption of one request.
type Figures struct {
	Provider     string
	Model        string
	InputTokens  int64
	OutputTokens int64
	Estimated    bool  // tokens were counted here, not reported by the provider
	InputBytes   int64 // bytes of the prompt, text or upload
	OutputBytes  int64 // bytes of the answer, image or audio
	CostUSD      float64
	ObjectID     string    // the record, message or conversion that was made
	Retries      int64     // calls to providers that were made again after a failure
	FirstByte    time.Time // when the first piece of the answer was there; zero if none
	Outcome      string    // a fault code when the answer failed after its status was sent; "" otherwise
}

// Record is the consumption of one request under construction. It is safe for
// concurrent use.
type Record struct {
	mu         sync.Mutex
	figures    Figures
	omitted    bool
	onComplete func()
}

type key struct{}

// Begin returns a context that carries a new Record, and the Record.
func Begin(ctx context.Context) (context.Context, *Record) {
	r := &Record{}
	return context.WithValue(ctx, key{}, r), r
}

// Update lets the service of the current request fill in figures. Without an
// accounting middleware it does nothing.
func Update(ctx context.Context, fill func(*Figures)) {
	r, ok := ctx.Value(key{}).(*Record)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fill(&r.figures)
}

// Omit says that the current request consumed nothing and is not to be accounted
// for: its answer was given before.
func Omit(ctx context.Context) {
	if r, ok := ctx.Value(key{}).(*Record); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.omitted = true
	}
}

// Omitted reports whether the request is not to be accounted for.
func (r *Record) Omitted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.omitted
}

// Read returns what is known so far of the current request; without an
// accounting middleware nothing.
func Read(ctx context.Context) Figures {
	if r, ok := ctx.Value(key{}).(*Record); ok {
		return r.Figures()
	}
	return Figures{}
}

// OnComplete sets what Complete calls. Set it before the request is served.
func (r *Record) OnComplete(call func()) { r.onComplete = call }

// Complete says that nothing about the current request will change any more,
// although the end of its answer is still to be sent: whoever accounts for it
// can do so before the client sees that end. Services whose answer is sent in
// pieces call it before the last one.
func Complete(ctx context.Context) {
	if r, ok := ctx.Value(key{}).(*Record); ok && r.onComplete != nil {
		r.onComplete()
	}
}

// Figures returns what is known so far.
func (r *Record) Figures() Figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.figures
}
