package auth

import (
	"time"

	"llmhist/platform/identity"
)

// Session is one signed-in device. It lives as long as its refresh token is
// exchanged before it expires; every exchange replaces the token.
type Session struct {
	ID         string
	UserID     int64
	TokenHash  string // SHA-256 of the one refresh token that is not spent
	FamilyHash string // SHA-256 of what all refresh tokens of the session share
	ExpiresAt  time.Time
	CreatedAt  time.Time
	LastUsedAt time.Time
	Revoked    bool
	Client     identity.Client
}

// live reports whether the session can still be used at the given time.
func (s Session) live(at time.Time) bool { return !s.Revoked && at.Before(s.ExpiresAt) }

// Key is an API key: a credential for programs that never expires by itself
// unless it was made to. The key itself is shown once and not kept.
type Key struct {
	ID         string
	UserID     int64
	Name       string
	Prefix     string // the first characters, to recognise the key by
	Hash       string // SHA-256 of the key
	CreatedAt  time.Time
	LastUsedAt *time.Time // to the minute; nil = never used
	ExpiresAt  *time.Time // nil = never
}

// live reports whether the key can still be used at the given time.
func (k Key) live(at time.Time) bool { return k.ExpiresAt == nil || at.Before(*k.ExpiresAt) }
