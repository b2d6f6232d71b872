package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"llmhist/modules/analytics"
	"llmhist/platform/uid"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// measureAppends stores events beside all that are there, in batches as the
// recorder makes them when little and when much happens.
func (m *measured) measureAppends(ctx context.Context, r analytics.Repository, o options) error {
	c := newCrowd(rand.New(rand.NewPCG(8, 9)), o.accounts)
	for _, size := range []int{1, 500} {
		a := answered{name: fmt.Sprintf("events stored at once: %d", size)}
		var err error
		a.times, err = repeat(o.runs, func() error { return r.Append(ctx, c.events(size)) })
		if err != nil {
			return err
		}
		m.appends = append(m.appends, a)
	}
	return nil
}

// events makes events of this moment.
func (c *crowd) events(count int) []analytics.Event {
	list := make([]analytics.Event, count)
	for i := range list {
		at := time.Now().UTC().Truncate(time.Millisecond)
		model := models[c.drawModel()]
		latency := int64(c.random.IntN(5000))
		list[i] = analytics.Event{
			ID: uid.New(at), At: at, Service: model.service, Action: "generate", RequestID: "request", Provider: model.provider, Model: model.model,
			Status: analytics.StatusOK, LatencyMS: latency, TTFTMS: &latency, InputTokens: 100, OutputTokens: 200, HTTPStatus: 200,
		}
		if user := c.draw(); user > 0 {
			list[i].UserID = &user
		}
	}
	return list
}
