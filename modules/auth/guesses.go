package auth

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"llmhist/platform/fault"
)

const (
	guessesAllowed = 10
	guessesWindow  = 15 * time.Minute
	guessedUsers   = 8192
)

// guesses counts the passwords that were tried by signed-in callers, per
// account. It is safe for concurrent use.
type guesses struct {
	mu      sync.Mutex
	windows *lru.Cache[int64, guessWindow]
	now     func() time.Time
}

type guessWindow struct {
	count int
	ends  time.Time
}

func newGuesses(now func() time.Time) *guesses {
	windows, err := lru.New[int64, guessWindow](guessedUsers)
	if err != nil { // only for a size below one
		panic(err)
	}
	return &guesses{windows: windows, now: now}
}

// take counts one try before it is made, or refuses it.
func (g *guesses) take(userID int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	window, ok := g.windows.Get(userID)
	if !ok || !now.Before(window.ends) {
		window = guessWindow{ends: now.Add(guessesWindow)}
	}
	if window.count >= guessesAllowed {
		return &fault.Error{
			Kind: fault.RateLimited, Code: "too_many_attempts", RetryAfter: window.ends.Sub(now),
			Detail: "The password was wrong too often. Try again later.",
		}
	}
	window.count++
	g.windows.Add(userID, window)
	return nil
}

// forget starts anew after a right password.
func (g *guesses) forget(userID int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.windows.Remove(userID)
}
