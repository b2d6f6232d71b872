package crash

import (
	"errors"
	"sync"
	"time"
)

// fact is something the server acknowledged, and how to see that it holds. The
// writer that made it replaces the check when it changes the thing.
type fact struct {
	what string

	mu    sync.Mutex
	check func(c *client) error
}

func (f *fact) verify(c *client) error {
	f.mu.Lock()
	check := f.check
	f.mu.Unlock()
	return check(c)
}

// book holds everything that was acknowledged.
type book struct {
	mu     sync.Mutex
	facts  []*fact
	recent map[*fact]bool // told or changed since the last look
	order  []*fact        // the same, in the order of change
	counts map[string]int // acknowledgements by kind
}

func newBook() *book { return &book{recent: map[*fact]bool{}, counts: map[string]int{}} }

// add notes an acknowledgement of a kind such as "image" and returns its fact.
func (b *book) add(kind string, check func(c *client) error) *fact {
	f := &fact{what: kind, check: check}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts = append(b.facts, f)
	b.counts[kind]++
	b.touch(f)
	return f
}

// count notes an acknowledgement that changes an older fact.
func (b *book) count(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[kind]++
}

// change gives a fact another check.
func (b *book) change(f *fact, check func(c *client) error) {
	f.mu.Lock()
	f.check = check
	f.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touch(f)
}

func (b *book) touch(f *fact) {
	if !b.recent[f] {
		b.recent[f] = true
		b.order = append(b.order, f)
	}
}

// newest returns the facts that changed since the last call, at most limit of
// the newest.
func (b *book) newest(limit int) []*fact {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.order
	b.order, b.recent = nil, map[*fact]bool{}
	return list[max(0, len(list)-limit):]
}

// all returns every fact.
func (b *book) all() []*fact {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*fact(nil), b.facts...)
}

// acknowledged returns how many acknowledgements there were.
func (b *book) acknowledged() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.counts {
		total += n
	}
	return total
}

func (b *book) totals() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	totals := map[string]int{}
	for kind, n := range b.counts {
		totals[kind] = n
	}
	return totals
}

// verifiers is how many facts are looked at at once.
const verifiers = 8

// hold verifies facts against a running server and tells of each that does not
// hold.
func hold(c *client, facts []*fact, violate func(format string, args ...any)) {
	work := make(chan *fact)
	var group sync.WaitGroup
	for range verifiers {
		group.Go(func() {
			for f := range work {
				if err := patiently(func() error { return f.verify(c) }); err != nil {
					violate("acknowledged %s does not hold: %v", f.what, err)
				}
			}
		})
	}
	for _, f := range facts {
		work <- f
	}
	close(work)
	group.Wait()
}

// patiently looks again while the answer is that something is unavailable: an
// engine that has just come back, or a machine with too much to do, loses
// nothing by that.
func patiently(look func() error) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := look()
		var odd *unexpected
		if err == nil || !errors.As(err, &odd) || !odd.got.unavailable() || time.Now().After(deadline) {
			return err
		}
	}
}
