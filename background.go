package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// reconcile finishes or fails what a crash interrupted.
func (a *App) reconcile(ctx context.Context) error {
	for name, reconcile := range map[string]func(context.Context) (int, error){
		"chat": a.chat.Reconcile, "image": a.image.Reconcile, "speech": a.speech.Reconcile,
	} {
		count, err := reconcile(ctx)
		if err != nil {
			return fmt.Errorf("finish interrupted %s requests: %w", name, err)
		}
		if count > 0 {
			a.logger.Info("interrupted requests were settled", "service", name, "count", count)
		}
	}
	return nil
}

func (a *App) firstAdmin(ctx context.Context) error {
	if a.config.Admin.Email == "" {
		return nil
	}
	created, err := a.auth.EnsureFirstAdmin(ctx, a.config.Admin.Email, a.config.Admin.Password.Reveal())
	if err != nil {
		return fmt.Errorf("make the first admin from ADMIN_EMAIL: %w", err)
	}
	if created {
		a.logger.Info("the first admin was made from ADMIN_EMAIL")
	}
	return nil
}

// sweepEvery is how often what has expired is removed.
const sweepEvery = 5 * time.Minute

// startBackground starts the work that goes on beside the requests. It ends
// with ctx.
func (a *App) startBackground(ctx context.Context) *sync.WaitGroup {
	var group sync.WaitGroup
	for name, sweep := range map[string]func(context.Context) error{
		"accounts": a.auth.Sweep, "analytics": a.pruneEvents,
	} {
		group.Go(func() {
			ticker := time.NewTicker(sweepEvery)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				if err := sweep(ctx); err != nil && ctx.Err() == nil {
					a.logger.Warn("sweep failed; it is tried again in five minutes", "of", name, "cause", err)
				}
			}
		})
	}
	return &group
}

func (a *App) pruneEvents(ctx context.Context) error {
	_, err := a.analytics.Prune(ctx)
	return err
}
