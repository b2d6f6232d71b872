package auth

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/bcrypt"

	"llmhist/platform/fault"
	"llmhist/platform/logging"
)

// passwordParams are the second choice of OWASP's password storage cheat sheet:
// 19 MiB and two passes, about 25 ms.
var passwordParams = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// dummyHash has today's parameters and belongs to no password: its key is
// random. Verifying against it makes an unknown account cost what a known one
// does.
const dummyHash logging.Secret = "$argon2id$v=19$m=19456,t=2,p=1$wfB2f2j2qI0NXpBbdUdNGQ$8hSyUwVRnWkghhtVt1osFIIFiZdk6rvydmwdY1C8eqQ"

const (
	// waitingPerSlot bounds the queue before the hasher: at about 25 ms each, a
	// full queue is some seconds long.
	waitingPerSlot = 256
	// Hashes from elsewhere that would cost more than this are refused.
	maxHashMemory     = 256 * 1024 // KiB
	maxHashIterations = 16
	maxBcryptCost     = 15
)

// hasher makes and verifies password hashes, as many at once as there are
// processors, so that many logins at once cost time and not memory.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	// verified counts the hashes that were compared, for tests of equal work.
	verified atomic.Int64
}

func newHasher() *hasher { return &hasher{slots: make(chan struct{}, runtime.GOMAXPROCS(0))} }

// enter waits for a free slot. The caller must leave.
func (h *hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if h.waiting.Add(1) > int64(cap(h.slots)*waitingPerSlot) {
		h.waiting.Add(-1)
		return &fault.Error{
			Kind: fault.Unavailable, Code: "too_busy", RetryAfter: 5 * time.Second,
			Detail: "Too many sign-ins are being checked right now. Try again in a few seconds.",
		}
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hasher) leave() { <-h.slots }

// hash returns the argon2id hash of a new password.
func (h *hasher) hash(ctx context.Context, password string) (logging.Secret, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	params := passwordParams
	hash, err := argon2id.CreateHash(password, &params)
	return logging.Secret(hash), err
}

// verify reports whether the password has this hash, and whether the hash
// should be made anew because it is bcrypt or has old parameters. A password
// that is too long to be anybody's costs the same and never matches.
func (h *hasher) verify(ctx context.Context, password string, hash logging.Secret) (match, outdated bool, err error) {
	if len(password) > maxPasswordBytes {
		password, hash = "", dummyHash
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer h.leave()
	h.verified.Add(1)
	if strings.HasPrefix(hash.Reveal(), "$2") {
		match, err = matchesBcrypt(password, hash.Reveal())
		return match, true, err
	}
	return matchesArgon2id(password, hash.Reveal())
}

func matchesBcrypt(password, hash string) (bool, error) {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost > maxBcryptCost {
		return false, unusableHash(err)
	}
	err = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, unusableHash(err)
	}
	return true, nil
}

func matchesArgon2id(password, hash string) (match, outdated bool, err error) {
	params, _, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return false, false, unusableHash(err)
	}
	if params.Memory > maxHashMemory || params.Iterations > maxHashIterations ||
		params.Iterations < 1 || params.Parallelism < 1 || len(key) < 16 || params.SaltLength < 8 {
		return false, false, unusableHash(errors.New("parameters out of bounds"))
	}
	match, err = argon2id.ComparePasswordAndHash(password, hash)
	return match, *params != passwordParams, err
}

// unusableHash says that a stored hash is none of ours. It never holds the hash.
func unusableHash(cause error) error {
	if cause == nil {
		cause = errors.New("cost out of bounds")
	}
	return fault.Wrap(cause, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
}
