package transfer

import (
	"context"
	"errors"
	"sync"

	"llmhist/platform/archive"
	"llmhist/platform/history"
)

const (
	// workers is how many parcels are worked on at once.
	workers = 8
	// waiting is how many parcels there are at most: worked on, or done and
	// waiting for one before them.
	waiting = 4 * workers
)

// parcel is what is moved in one piece: the objects of one request, a daily
// index, or one object of a backup.
type parcel struct {
	store   string
	held    history.Held // of a request
	objects []carried    // in the order of their keys
	missing []string
	gone    bool // the request was deleted meanwhile

	err  error
	done chan struct{}
}

type carried struct {
	object  archive.Object
	content *archive.Content
}

func (p *parcel) release() {
	for _, one := range p.objects {
		one.content.Release()
	}
}

// convey lets produce emit parcels, works on several at once, and finishes them
// one by one in the order in which they were emitted. It ends with the first
// error, and never before all of its goroutines have ended.
func convey(ctx context.Context, produce func(emit func(*parcel) error) error,
	work func(ctx context.Context, p *parcel) error, finish func(p *parcel) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun, ordered := make(chan *parcel), make(chan *parcel, waiting)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for p := range begun {
				p.err = work(ctx, p)
				close(p.done)
			}
		})
	}
	var produced error
	group.Go(func() {
		defer close(begun)
		defer close(ordered)
		produced = produce(func(p *parcel) error { return emit(ctx, p, ordered, begun) })
	})
	var failed error
	for p := range ordered {
		<-p.done
		if failed == nil {
			if failed = p.err; failed == nil {
				failed = finish(p)
			}
			if failed != nil {
				cancel()
			}
		}
		p.release()
	}
	group.Wait()
	if failed != nil && !errors.Is(failed, context.Canceled) || produced == nil {
		return failed
	}
	return produced
}

func emit(ctx context.Context, p *parcel, ordered, begun chan<- *parcel) error {
	p.done = make(chan struct{})
	select {
	case ordered <- p:
	case <-ctx.Done():
		p.release()
		return ctx.Err()
	}
	select {
	case begun <- p:
		return nil
	case <-ctx.Done():
		p.err = ctx.Err()
		close(p.done)
		return ctx.Err()
	}
}
