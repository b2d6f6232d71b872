package chat

import (
	"context"
	"slices"
	"sync"
	"time"

	"llmhist/platform/probe"
)

// everyModel stands in a list of models for all that the service lists itself.
const everyModel = "*"

// The bounds of asking a service what it lists.
const (
	discoveryFresh = 5 * time.Minute  // a list is used as it is
	discoveryPause = 30 * time.Second // after a question, also one that failed
	discoveryWait  = 5 * time.Second  // for an answer
	maxDiscovered  = 1000             // models of one service
)

// discovery keeps the models that a service lists. While it cannot be asked,
// those that it listed last are used.
type discovery struct {
	ask func(ctx context.Context) (probe.Models, error)
	now func() time.Time

	mu    sync.Mutex // held while the service is asked: one at a time
	tried time.Time
	list  struct {
		sync.Mutex
		ids []string
		at  time.Time
	}
}

func newDiscovery(p *openAI) *discovery {
	return &discovery{now: time.Now, ask: func(ctx context.Context) (probe.Models, error) { return probe.List(ctx, p.name, *p.endpoint()) }}
}

// models returns what the service listed last.
func (d *discovery) models() []string {
	d.list.Lock()
	defer d.list.Unlock()
	return d.list.ids
}

// refresh asks the service when its list is older than maxAge and it was not
// asked a moment ago. Whoever comes meanwhile waits for the same answer.
func (d *discovery) refresh(ctx context.Context, maxAge time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.list.Lock()
	at := d.list.at
	d.list.Unlock()
	if now.Sub(at) < maxAge || now.Sub(d.tried) < discoveryPause {
		return
	}
	d.tried = now
	bounded, cancel := context.WithTimeout(ctx, discoveryWait)
	defer cancel()
	found, err := d.ask(bounded)
	if err != nil {
		if ctx.Err() != nil {
			d.tried = time.Time{} // nobody knows what the service would have said
		}
		return
	}
	ids := make([]string, 0, min(len(found), maxDiscovered))
	for _, model := range found[:min(len(found), maxDiscovered)] {
		if model.ID != "" {
			ids = append(ids, model.ID)
		}
	}
	d.list.Lock()
	defer d.list.Unlock()
	d.list.ids, d.list.at = ids, now
}

// discovers is a provider that can be asked what it offers.
type discovers interface {
	discover(ctx context.Context, maxAge time.Duration)
}

func (p *openAI) discover(ctx context.Context, maxAge time.Duration) {
	if p.discovery != nil {
		p.discovery.refresh(ctx, maxAge)
	}
}

// discover asks all providers that can be asked whose list is older than maxAge,
// at once.
func (c catalogue) discover(ctx context.Context, maxAge time.Duration) {
	var all sync.WaitGroup
	for _, provider := range c.providers {
		if one, can := provider.(discovers); can {
			all.Go(func() { one.discover(ctx, maxAge) })
		}
	}
	all.Wait()
}

// Models lists the configured models, the default first, and then what the
// service lists, where that was asked for.
func (p *openAI) Models() []string {
	if p.discovery == nil {
		return p.models
	}
	list := slices.Clone(p.models)
	for _, id := range p.discovery.models() {
		if !slices.Contains(list, id) && !slices.Contains(p.vectors, id) {
			list = append(list, id)
		}
	}
	return list
}
