package auth

import (
	"strings"
	"time"

	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// User is one account. Its password hash prints, logs and marshals as "***".
type User struct {
	ID           int64
	Email        string // canonical, see canonicalEmail
	PasswordHash logging.Secret
	Role         identity.Role
	Name         string
	Quotas       Quotas
	DisabledAt   *time.Time // an administrator closed the account
	DeletingAt   *time.Time // the account and what it owns are being erased
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Active reports whether the account may be used at all.
func (u User) Active() bool { return u.DisabledAt == nil && u.DeletingAt == nil }

// administers reports whether the account counts as an administrator who can
// still act: one of them must always remain.
func (u User) administers() bool { return u.Role == identity.RoleAdmin && u.Active() }

// searchText is what an administrator's search looks through. It is lowered
// here because the engines disagree about letters beyond ASCII.
func (u User) searchText() string { return strings.ToLower(u.Email + "\n" + u.Name) }

// Quotas are the requests an account may make per UTC day; nil is unlimited.
type Quotas struct {
	ChatPerDay   *int64
	ImagePerDay  *int64
	SpeechPerDay *int64
}

// of returns the limit of a service ("chat", "image", "speech"), nil for none.
func (q Quotas) of(service string) *int64 {
	switch service {
	case "chat":
		return q.ChatPerDay
	case "image":
		return q.ImagePerDay
	case "speech":
		return q.SpeechPerDay
	default:
		return nil
	}
}

// UserCounts are the sizes of the installation.
type UserCounts struct {
	Total  int64 // accounts, disabled ones included
	Admins int64 // administrators who are neither disabled nor being erased
}
