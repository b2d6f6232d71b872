package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"llmhist/platform/jobs"
	"llmhist/platform/uid"
)

// reconcile finishes or fails what a crash interrupted, of this server's earlier
// runs or of a server that is dead. One service's failure keeps no other waiting.
func (a *App) reconcile(ctx context.Context) error {
	var failed []error
	for name, reconcile := range map[string]func(context.Context) (int, error){
		"chat": a.chat.Reconcile, "image": a.image.Reconcile, "speech": a.speech.Reconcile,
	} {
		count, err := reconcile(ctx)
		if err != nil {
			failed = append(failed, fmt.Errorf("finish interrupted %s requests: %w", name, err))
		}
		if count > 0 {
			a.logger.InfoContext(ctx, "interrupted requests were settled", "service", name, "count", count)
		}
	}
	return errors.Join(failed...)
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

// jobsAfter is when the jobs of a server begin: what a start owes is done by then,
// and the first requests have the processors and the database for themselves.
const jobsAfter = time.Second

func (a *App) doJobs(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(jobsAfter):
		var looking sync.WaitGroup
		looking.Go(func() { a.analytics.WarnIfBehind(ctx) })
		a.jobs.Run(ctx)
		looking.Wait()
	}
}

// background is the work that goes on beside the requests, once over all servers
// of a database. What runs every minute costs a look at an empty index.
func (a *App) background() []jobs.Job {
	return []jobs.Job{
		{Name: "reconcile", Every: time.Minute, Timeout: 50 * time.Second, Run: a.reconcile},
		{Name: "accounts", Every: 5 * time.Minute, Timeout: 4 * time.Minute, Run: a.auth.Sweep},
		{Name: "idempotency", Every: 10 * time.Minute, Timeout: time.Minute, Run: func(ctx context.Context) error { return a.idempotency.Store.Prune(ctx, uid.Now()) }},
		{Name: "events", Every: 5 * time.Minute, Timeout: 4 * time.Minute, Run: a.pruneEvents},
	}
}

func (a *App) pruneEvents(ctx context.Context) error {
	_, err := a.analytics.Prune(ctx)
	return err
}
