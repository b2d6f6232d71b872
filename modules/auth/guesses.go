package auth

import (
	"context"
	"strconv"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/ratelimit"
)

const (
	guessesAllowed = 10
	guessesWindow  = 15 * time.Minute
)

// guesses counts the passwords that were tried by signed-in callers, per
// account: some at once, then one each time a part of the window has passed.
type guesses struct{ limiter ratelimit.Limiter }

// take counts one try before it is made, or refuses it. When the count is
// unknown it is made.
func (g guesses) take(ctx context.Context, userID int64) error {
	decision, err := g.limiter.Take(ctx, guessesOf(userID), ratelimit.Rule{Requests: guessesAllowed, Window: guessesWindow})
	if err != nil || decision.Allowed {
		return nil //nolint:nilerr // as for every other limit
	}
	return &fault.Error{
		Kind: fault.RateLimited, Code: "too_many_attempts", RetryAfter: decision.RetryAfter,
		Detail: "The password was wrong too often. Try again later.",
	}
}

// forget starts anew after a right password.
func (g guesses) forget(ctx context.Context, userID int64) { g.limiter.Forget(ctx, guessesOf(userID)) }

func guessesOf(userID int64) string { return "password|user " + strconv.FormatInt(userID, 10) }
