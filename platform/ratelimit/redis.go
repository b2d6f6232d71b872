package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	redislogging "github.com/redis/go-redis/v9/logging"

	"llmhist/platform/logging"
)

func init() { redislogging.Disable() } // what it has to say comes as an error too, and belongs in our log

// gcra is the algorithm of take, run by the server so that several processes
// count as one, by the server's clock so that they need not agree on the time.
// All times are microseconds. It returns allowed, room and wait.
var gcra = redis.NewScript(`
local interval, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local arrival = tonumber(redis.call('GET', KEYS[1]) or now)
if arrival < now then arrival = now end
local next = arrival + interval
local room = window - (next - now)
if room < 0 then
  return {0, 0, -room, arrival - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return {1, room, 0, next - now}
`)

const (
	// redisDeadline is how long a request waits for its count.
	redisDeadline = 250 * time.Millisecond
	// redisPause is how long an unreachable server is left alone, so that its
	// absence does not slow every request down.
	redisPause = time.Second
	keyPrefix  = "llmhist:limit:"
)

// Redis counts in a Redis server, for several processes together. While the
// server does not answer, each process counts for itself: requests go on, and
// the limits hold per process.
type Redis struct {
	client *redis.Client
	local  *Local
	logger *slog.Logger
	now    func() time.Time

	resumeAt  atomic.Int64 // unix nanoseconds
	fallbacks atomic.Int64
}

// OpenRedis connects to the server that address names, a redis:// or rediss://
// URL. The error is one line that names REDIS_URL and holds no password.
func OpenRedis(ctx context.Context, address logging.Secret, logger *slog.Logger) (*Redis, error) {
	options, err := redis.ParseURL(address.Reveal())
	if err != nil {
		return nil, errors.New("REDIS_URL is not a redis:// or rediss:// address")
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = 2*time.Second, redisDeadline, redisDeadline
	options.PoolTimeout, options.MaxRetries = redisDeadline, -1
	options.ContextTimeoutEnabled = true
	r := &Redis{client: redis.NewClient(options), local: NewLocal(time.Now), logger: logger, now: time.Now}
	bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := r.client.Ping(bounded).Err(); err != nil {
		_ = r.client.Close()
		return nil, fmt.Errorf("REDIS_URL: the server at %s does not answer: %s", options.Addr, withoutSecret(err, options.Password))
	}
	return r, nil
}

func withoutSecret(err error, secret string) string {
	if secret == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), secret, "***")
}

// Take counts one request; see Limiter. It never fails: see Redis.
func (r *Redis) Take(ctx context.Context, key string, rule Rule) (Decision, error) {
	if rule.Off() {
		return Decision{Allowed: true}, nil
	}
	if r.now().UnixNano() >= r.resumeAt.Load() {
		decision, err := r.take(ctx, key, rule)
		if err == nil || ctx.Err() != nil {
			return decision, err
		}
		r.pause(ctx, err)
	}
	r.fallbacks.Add(1)
	return r.local.Take(ctx, key, rule)
}

func (r *Redis) take(ctx context.Context, key string, rule Rule) (Decision, error) {
	bounded, cancel := context.WithTimeout(ctx, redisDeadline)
	defer cancel()
	interval := rule.Window / time.Duration(rule.Requests)
	figures, err := gcra.Run(bounded, r.client, []string{keyPrefix + key}, interval.Microseconds(), rule.Window.Microseconds()).Int64Slice()
	if err != nil {
		return Decision{}, err
	}
	if len(figures) != 4 {
		return Decision{}, fmt.Errorf("the limit script returned %d figures", len(figures))
	}
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	return Decision{
		Allowed: figures[0] == 1, Remaining: int(micro(figures[1]) / interval),
		RetryAfter: micro(figures[2]), Reset: micro(figures[3]),
	}, nil
}

// pause leaves the server alone for a moment and says so once.
func (r *Redis) pause(ctx context.Context, cause error) {
	until := r.now().Add(redisPause).UnixNano()
	if before := r.resumeAt.Swap(until); r.now().UnixNano()-before > int64(10*time.Second) {
		r.logger.WarnContext(ctx, "Redis does not answer; limits are counted per process", "cause", cause)
	}
}

// Fallbacks returns how many requests were counted in this process because
// Redis did not answer.
func (r *Redis) Fallbacks() int64 { return r.fallbacks.Load() }

// Ping reports whether the server answers.
func (r *Redis) Ping(ctx context.Context) error { return r.client.Ping(ctx).Err() }

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }
