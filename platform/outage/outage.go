// Package outage remembers that a server gave no answer, so that while it is
// silent not every request, nor every step of one, has to find that out by
// waiting.
package outage

import (
	"sync/atomic"
	"time"
)

const (
	// suspicion is how long one silence is remembered.
	suspicion = time.Second
	// moment is how long an operation waits meanwhile. It is enough for a
	// healthy server, which ends the suspicion by its answer.
	moment = 250 * time.Millisecond
)

// Memory is what is known of one server. The zero value trusts it. It is safe
// for concurrent use.
type Memory struct {
	answered  atomic.Int64 // when it last did, since begin
	suspected atomic.Int64 // when the last silence was noted, since begin; 0 = never
}

var begin = time.Now().Add(-time.Hour) // so that no time since is 0

func now() int64 { return int64(time.Since(begin)) }

// Patience returns how long to wait for the server: usual, or a moment when it
// has just been silent.
func (m *Memory) Patience(usual time.Duration) time.Duration {
	suspected := m.suspected.Load()
	if suspected == 0 || m.answered.Load() > suspected || now()-suspected > int64(suspicion) {
		return usual
	}
	return min(usual, moment)
}

// Answered notes that the server answered something, if only with an error.
func (m *Memory) Answered() { m.answered.Store(now()) }

// Silent notes that an operation waited from since in vain, with the usual
// patience, and reports whether that makes the server suspect: not when it
// answered others in the meantime. What gave up after a moment is not noted, or
// a server that is merely slow would never be trusted again.
func (m *Memory) Silent(since time.Time) bool {
	if m.answered.Load() > int64(since.Sub(begin)) || time.Since(since) < moment*3/2 {
		return false
	}
	m.suspected.Store(now())
	return true
}
