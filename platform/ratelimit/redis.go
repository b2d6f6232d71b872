package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"llmhist/platform/redisclient"
)

// gcra is the algorithm of take, run by the server so that several processes
// count as one, by the server's clock so that they need not agree on the time.
// All times are microseconds. What a process counted while the server was away
// is added first, up to one window. It returns allowed, room, wait and reset. A
// key lives until its window is full again.
var gcra = redis.NewScript(`
local interval, window, counted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
if arrival < now then arrival = now end
if counted > 0 then arrival = math.max(arrival, math.min(arrival + counted, now + window)) end
local next = arrival + interval
local room = window - (next - now)
local allowed = room >= 0
if allowed then arrival = next end
if allowed or counted > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
end
if allowed then return {1, room, 0, arrival - now} end
return {0, 0, -room, arrival - now}
`)

const (
	// redisPause is how long an unreachable server is left alone, so that its
	// absence does not slow every request down.
	redisPause = time.Second
	keyPrefix  = "llmhist:limit:"
)

// Redis counts in a Redis server, for several processes together. While the
// server does not answer, each process counts for itself: requests go on, and
// the limits hold per process. When it answers again, a process adds what it
// counted of a key to the server's count with its next request of that key, so
// that an absence gives nobody a fresh window.
type Redis struct {
	client *redis.Client
	local  *Local
	logger *slog.Logger
	now    func() time.Time

	resumeAt  atomic.Int64 // when to ask a server that failed again, in unix nanoseconds; 0 = it answers
	warnedAt  atomic.Int64 // unix nanoseconds
	fallbacks atomic.Int64
}

// NewRedis counts on the server of client, which stays the caller's to close.
func NewRedis(client *redis.Client, logger *slog.Logger) *Redis {
	return &Redis{client: client, local: NewLocal(time.Now), logger: logger, now: time.Now}
}

// Take counts one request; see Limiter. It never fails: see Redis.
func (r *Redis) Take(ctx context.Context, key string, rule Rule) (Decision, error) {
	if rule.Off() {
		return Decision{Allowed: true}, nil
	}
	if r.mayAsk() {
		decision, err := r.take(ctx, key, rule)
		if err == nil {
			r.resume(ctx)
			return decision, nil
		}
		if ctx.Err() != nil {
			return decision, err
		}
		r.pause(ctx, err)
	}
	r.fallbacks.Add(1)
	return r.local.Take(ctx, key, rule)
}

// Forget gives key a fresh window; see Limiter.
func (r *Redis) Forget(ctx context.Context, key string) {
	r.local.Forget(ctx, key)
	if !r.mayAsk() {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, redisclient.Deadline)
	defer cancel()
	switch err := r.client.Del(bounded, keyPrefix+key).Err(); {
	case err == nil:
		r.resume(ctx)
	case ctx.Err() == nil:
		r.pause(ctx, err)
	}
}

// mayAsk reports whether to ask the server. While it is away one request per
// pause tries: the others neither wait for it nor hand over a count that is
// under way already.
func (r *Redis) mayAsk() bool {
	at, now := r.resumeAt.Load(), r.now()
	return at == 0 || now.UnixNano() >= at && r.resumeAt.CompareAndSwap(at, now.Add(redisPause).UnixNano())
}

func (r *Redis) take(ctx context.Context, key string, rule Rule) (Decision, error) {
	bounded, cancel := context.WithTimeout(ctx, redisclient.Deadline)
	defer cancel()
	interval := rule.Window / time.Duration(rule.Requests)
	counted := r.local.takeBack(key)
	figures, err := gcra.Run(bounded, r.client, []string{keyPrefix + key}, interval.Microseconds(), rule.Window.Microseconds(), counted.Microseconds()).Int64Slice()
	if err == nil && len(figures) != 4 {
		err = fmt.Errorf("the limit script returned %d figures", len(figures))
	}
	if err != nil {
		r.local.giveBack(key, counted, rule.Window)
		return Decision{}, err
	}
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return Decision{
		Allowed: figures[0] == 1, Remaining: int(micro(figures[1]) / interval),
		RetryAfter: micro(figures[2]), Reset: micro(figures[3]),
	}, nil
}

// pause leaves the server alone for a moment and says so when it begins.
func (r *Redis) pause(ctx context.Context, cause error) {
	now := r.now()
	if r.resumeAt.Swap(now.Add(redisPause).UnixNano()) != 0 {
		return
	}
	if before := r.warnedAt.Swap(now.UnixNano()); now.UnixNano()-before > int64(10*time.Second) {
		r.logger.WarnContext(ctx, "Redis does not answer; limits are counted per process", "cause", cause)
	}
}

func (r *Redis) resume(ctx context.Context) {
	if r.resumeAt.Load() != 0 && r.resumeAt.Swap(0) != 0 {
		r.logger.InfoContext(ctx, "Redis answers again; limits are counted together")
	}
}

// Fallbacks returns how many requests were counted in this process because
// Redis did not answer.
func (r *Redis) Fallbacks() int64 { return r.fallbacks.Load() }
