// Package ratelimit says whether one more request is within a rule. It uses
// the generic cell rate algorithm: a full window's worth may come at once, then
// one per emission interval, with one timestamp of state per key.
package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rule allows Requests per Window. The zero value allows everything.
type Rule struct {
	Requests int
	Window   time.Duration
}

// Off reports whether the rule allows everything.
func (r Rule) Off() bool { return r.Requests == 0 }

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	if r.Off() {
		return "off"
	}
	for unit, window := range windows {
		if window == r.Window && len(unit) > 1 {
			return fmt.Sprintf("%d/%s", r.Requests, unit)
		}
	}
	return fmt.Sprintf("%d/%s", r.Requests, r.Window)
}

var windows = map[string]time.Duration{"sec": time.Second, "min": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// ParseRule reads "10/min", "5/sec", "100/hour", "1000/day" or "off".
func ParseRule(text string) (Rule, error) {
	if text == "off" {
		return Rule{}, nil
	}
	count, unit, found := strings.Cut(text, "/")
	requests, err := strconv.Atoi(count)
	window, known := windows[unit]
	if !found || err != nil || !known || requests < 1 || requests > 1_000_000 {
		return Rule{}, fmt.Errorf("%q is not a rate limit: write for example 10/min (sec, min, hour or day) or off", text)
	}
	return Rule{Requests: requests, Window: window}, nil
}

// UnmarshalText reads a rule from configuration.
func (r *Rule) UnmarshalText(text []byte) error {
	rule, err := ParseRule(string(text))
	*r = rule
	return err
}

// MarshalText writes a rule as ParseRule reads it.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Decision is the outcome for one request.
type Decision struct {
	Allowed    bool
	Remaining  int           // requests that could follow at once
	Reset      time.Duration // until the full window is available again
	RetryAfter time.Duration // until one more request is allowed; 0 when Allowed
}

// Limiter counts requests by key.
type Limiter interface {
	// Take counts one request of key against rule. An error means that the
	// count is unknown; the caller decides what that means.
	Take(ctx context.Context, key string, rule Rule) (Decision, error)
	// Forget gives key a fresh window. Where that fails, the count goes on.
	Forget(ctx context.Context, key string)
}

// maxKeys bounds the memory of a Local limiter: about 10 MB.
const maxKeys = 100_000

// Local counts in this process.
type Local struct {
	now func() time.Time

	mu   sync.Mutex
	full map[string]time.Time // key → theoretical arrival time of the next request
}

// NewLocal returns a limiter for one process.
func NewLocal(now func() time.Time) *Local {
	return &Local{now: now, full: map[string]time.Time{}}
}

// Take counts one request; see Limiter.
func (l *Local) Take(_ context.Context, key string, rule Rule) (Decision, error) {
	if rule.Off() {
		return Decision{Allowed: true}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	arrival, known := l.full[key]
	if !known && len(l.full) >= maxKeys {
		l.forget(now)
	}
	decision, next := take(rule, now, arrival)
	l.full[key] = next
	return decision, nil
}

// Forget gives key a fresh window; see Limiter.
func (l *Local) Forget(_ context.Context, key string) { l.takeBack(key) }

// takeBack forgets a key and returns how much of its window is used.
func (l *Local) takeBack(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrival, known := l.full[key]
	if !known {
		return 0
	}
	delete(l.full, key)
	return max(0, arrival.Sub(l.now()))
}

// giveBack is the opposite of takeBack. What was counted in between stays, and
// no more than the window is used.
func (l *Local) giveBack(key string, used, window time.Duration) {
	if used <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	arrival := now
	if known := l.full[key]; known.After(now) {
		arrival = known
	}
	l.full[key] = now.Add(min(arrival.Add(used).Sub(now), window))
}

// take is the algorithm: arrival is when the bucket would be full again.
func take(rule Rule, now, arrival time.Time) (Decision, time.Time) {
	interval := rule.Window / time.Duration(rule.Requests)
	if arrival.Before(now) {
		arrival = now
	}
	next := arrival.Add(interval)
	room := rule.Window - next.Sub(now)
	if room < 0 {
		return Decision{Reset: arrival.Sub(now), RetryAfter: -room}, arrival
	}
	return Decision{Allowed: true, Remaining: int(room / interval), Reset: next.Sub(now)}, next
}

// forget drops keys whose window is full again, which changes no decision, and
// when that is not enough, arbitrary ones: under an attack from very many
// addresses memory stays bounded and known keys may get a fresh window.
func (l *Local) forget(now time.Time) {
	for key, arrival := range l.full {
		if !arrival.After(now) {
			delete(l.full, key)
		}
	}
	for key := range l.full {
		if len(l.full) < maxKeys*9/10 {
			return
		}
		delete(l.full, key)
	}
}
