package main

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"llmhist/config"
	"llmhist/modules/auth"
	"llmhist/platform/notice"
	"llmhist/platform/operations"
	"llmhist/platform/ratelimit"
	"llmhist/platform/redisclient"
)

// sharedRedis is what several processes share through one Redis server.
type sharedRedis struct {
	limits  *ratelimit.Redis
	changes *notice.Board
}

// openRedis connects to the shared counter of limits and to the other processes
// where a server is configured.
func (a *App) openRedis(ctx context.Context) error {
	if a.config.Redis.URL == "" {
		a.limiter = ratelimit.NewLocal(time.Now)
		return nil
	}
	client, err := redisclient.Open(ctx, a.config.Redis.URL)
	if err != nil {
		return err
	}
	a.onClose(func(context.Context) error { return client.Close() })
	a.redis = &sharedRedis{limits: ratelimit.NewRedis(client, a.logger), changes: notice.Open(client, a.logger)}
	a.onClose(func(context.Context) error { return a.redis.changes.Close() })
	a.limiter = a.redis.limits
	return nil
}

// hearChanges joins the other processes: what one changes of an account takes
// effect in all at once.
func (a *App) hearChanges() {
	if a.redis == nil {
		return
	}
	a.redis.changes.Listen(notice.Receiver{
		Receive: func(n notice.Notice) {
			if change, ok := changeOf(n); ok {
				a.auth.Forget(change)
			}
		},
		Missed: a.auth.ForgetAll,
	})
}

func (a *App) announceChange(change auth.Change) {
	if a.redis != nil {
		a.redis.changes.Publish(noticeOf(change))
	}
}

// The kinds of notices.
const changedUser, endedSession, deletedKey = "user", "session", "key"

func noticeOf(change auth.Change) notice.Notice {
	switch {
	case change.SessionID != "":
		return notice.Notice{Kind: endedSession, ID: change.SessionID}
	case change.KeyID != "":
		return notice.Notice{Kind: deletedKey, ID: change.KeyID}
	default:
		return notice.Notice{Kind: changedUser, ID: strconv.FormatInt(change.UserID, 10)}
	}
}

// changeOf reports false for what another release may announce.
func changeOf(n notice.Notice) (auth.Change, bool) {
	switch n.Kind {
	case endedSession:
		return auth.Change{SessionID: n.ID}, true
	case deletedKey:
		return auth.Change{KeyID: n.ID}, true
	case changedUser:
		id, err := strconv.ParseInt(n.ID, 10, 64)
		return auth.Change{UserID: id}, err == nil
	}
	return auth.Change{}, false
}

// announcer returns where a command that runs beside the servers announces what
// it changes. Without Redis they notice within seconds, so that its absence is
// no error.
func announcer(ctx context.Context, cfg config.Config) (announce func(auth.Change), done func()) {
	if cfg.Redis.URL == "" {
		return nil, func() {}
	}
	client, err := redisclient.Open(ctx, cfg.Redis.URL)
	if err != nil {
		return nil, func() {}
	}
	board := notice.Open(client, slog.New(slog.DiscardHandler))
	return func(change auth.Change) { board.Publish(noticeOf(change)) }, func() { _ = board.Close(); _ = client.Close() }
}

// measure adds how well the processes reach each other.
func (r *sharedRedis) measure(metrics *operations.Metrics) {
	metrics.Count("llmhist_limits_counted_locally_total", "Requests counted in this process because Redis did not answer.",
		func() float64 { return float64(r.limits.Fallbacks()) })
	metrics.Count("llmhist_notices_dropped_total", "Changes of accounts that other processes were not told of: they notice within five seconds.",
		func() float64 { return float64(r.changes.Dropped()) })
	metrics.Gauge("llmhist_notices_connected", "1 while changes of accounts in other processes are heard at once.",
		func() float64 {
			if r.changes.Joined() {
				return 1
			}
			return 0
		})
}
