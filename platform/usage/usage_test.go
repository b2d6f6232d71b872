package usage

import (
	"context"
	"sync"
	"testing"
)

func TestUpdateReachesTheRecordOfItsRequestOnly(t *testing.T) {
	first, a := Begin(context.Background())
	second, b := Begin(context.Background())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { Update(first, func(f *Figures) { f.InputTokens++ }) })
		wg.Go(func() { Update(second, func(f *Figures) { f.InputTokens += 2 }) })
	}
	wg.Wait()
	if Read(first).InputTokens != 50 || Read(context.Background()) != (Figures{}) {
		t.Errorf("read %+v and %+v", Read(first), Read(context.Background()))
	}
	Update(context.Background(), func(*Figures) { t.Error("no record in this context") })
	if a.Figures().InputTokens != 50 || b.Figures().InputTokens != 100 {
		t.Fatalf("got %d and %d", a.Figures().InputTokens, b.Figures().InputTokens)
	}
}
