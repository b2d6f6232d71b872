// Package idempotency lets a client send a request again without its being done
// again. A request with the header Idempotency-Key is remembered with what was
// answered, per caller, for 24 hours: the same key and request gets the same
// answer, without anything behind it being asked
// (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
package idempotency

import (
	"context"
	"net/http"
	"time"

	"llmhist/platform/fault"
)

// Life is how long an answer is remembered.
const Life = 24 * time.Hour

// The bounds of what is remembered.
const (
	maxKey    = 255      // characters
	maxAnswer = 32 << 20 // bytes
)

// Claim is a request that wants to be done.
type Claim struct {
	UserID   int64
	Key      string // a digest
	Request  string // a digest of all that makes the request what it is
	Instance string // the server that would do it
	At       time.Time
}

// Outcome is what was answered.
type Outcome struct {
	Status int // of HTTP; 0 = the request is under way
	Header http.Header
	Body   []byte
	// TooLarge says that the body was not remembered.
	TooLarge bool
}

// Entry is what is remembered of a key.
type Entry struct {
	Claim
	Outcome Outcome
}

// Store remembers. Every method is one atomic act.
type Store interface {
	// Begin remembers the claim and returns nil, or the entry that the key has
	// already. One older than Life is replaced.
	Begin(ctx context.Context, claim Claim) (*Entry, error)
	// Find returns the entry of a key that is not older than Life before at, or
	// nil.
	Find(ctx context.Context, userID int64, key string, at time.Time) (*Entry, error)
	// TakeOver gives an entry that is under way to claim, and reports whether it
	// still was as it is given here.
	TakeOver(ctx context.Context, entry Entry, claim Claim) (bool, error)
	// Finish remembers the outcome of a claim.
	Finish(ctx context.Context, claim Claim, outcome Outcome) error
	// Forget forgets a claim that came to nothing.
	Forget(ctx context.Context, claim Claim) error
	// ForgetAnswers forgets what was answered to a user, or to everybody, and
	// nothing of requests that are under way.
	ForgetAnswers(ctx context.Context, userID int64) error
	ForgetAllAnswers(ctx context.Context) error
	// EraseUser forgets everything of a user: what is under way is not remembered
	// either.
	EraseUser(ctx context.Context, userID int64) error
	// Prune forgets what is older than Life.
	Prune(ctx context.Context, now time.Time) error
}

func badKey() error {
	return fault.New(fault.Malformed, "invalid_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters, for example a UUID.")
}

func reused() error {
	return fault.New(fault.Contradictory, "idempotency_key_reused",
		"This Idempotency-Key came with another request before. Make a new key for each request, and use it again only to repeat that.")
}

func underWay() error {
	f := fault.New(fault.Conflict, "idempotency_in_progress", "The request with this Idempotency-Key is still under way. Send it again in a moment to get its answer.")
	f.RetryAfter = time.Second
	return f
}

func tooLarge() error {
	f := fault.New(fault.Conflict, "idempotency_answer_too_large",
		"The request with this Idempotency-Key was done, but its answer was too large to be remembered. Find it in the history.")
	f.Final = true
	return f
}

func anonymous() error {
	return fault.New(fault.Unauthenticated, "authentication_required", "Idempotency-Key works for signed-in callers only. Sign in, or send the request without it.")
}
