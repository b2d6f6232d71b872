package auth

import (
	"context"
	"time"

	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// The repositories below share this contract: times are UTC in whole
// milliseconds, ids and hashes are compared exactly, an account being erased is
// treated as absent wherever something new would be made for it, and a context
// that has ended changes nothing. Errors other than those named are storage
// faults.

// UserRepository stores accounts.
type UserRepository interface {
	// CreateUser stores an account and returns it with its id. An address that
	// is taken is a Conflict with code "email_taken".
	CreateUser(ctx context.Context, user User) (User, error)
	// FindUser returns the account, also a disabled one, or NotFound.
	FindUser(ctx context.Context, id int64) (User, error)
	// FindUserByEmail returns the account of a canonical address, or NotFound.
	FindUserByEmail(ctx context.Context, email string) (User, error)
	// ListUsers returns one page of the accounts whose address or name contains
	// query in any letter case (all for ""), newest first, and how many there are.
	ListUsers(ctx context.Context, query string, offset, limit int) ([]User, int64, error)
	// UpdateUser reads an account, lets change alter it and stores the result,
	// all in one transaction that no other change of an account enters. An error
	// of change is returned and stores nothing. An account that becomes disabled
	// loses its sessions. NotFound, also for an account being erased; Conflict
	// with code "email_taken"; Conflict with code "last_admin" when no
	// administrator would remain.
	UpdateUser(ctx context.Context, id int64, change func(*User) error) (User, error)
	// ReplacePassword stores a new hash if the old one is still in place,
	// otherwise it is a Conflict with code "password_changed".
	ReplacePassword(ctx context.Context, change PasswordChange) error
	// CountUsers returns the sizes of the installation.
	CountUsers(ctx context.Context) (UserCounts, error)
	// ListKnownUsers returns those of the ids that accounts have, in ascending
	// order.
	ListKnownUsers(ctx context.Context, ids []int64) ([]int64, error)
}

// PasswordChange is one replacement of a password hash.
type PasswordChange struct {
	UserID      int64
	Old, New    logging.Secret
	At          time.Time
	EndSessions bool   // end the sessions of the account …
	KeepSession string // … but this one
}

// DeletionRepository erases accounts in two steps, so that what other modules
// keep for an account can be erased in between and the whole can be resumed. The
// ids of accounts that are gone are kept until what late requests stored for
// them was erased too. Ids are never given again.
type DeletionRepository interface {
	// BeginUserDeletion closes the account for good: its sessions and API keys
	// are gone, and nothing new can be made for it. Repeating it changes
	// nothing. NotFound, or Conflict with code "last_admin".
	BeginUserDeletion(ctx context.Context, id int64, at time.Time) error
	// DeleteUser removes the account and all rows of this module, and remembers
	// the id as erased at the given time. An account that is gone already is
	// fine and not remembered again.
	DeleteUser(ctx context.Context, id int64, at time.Time) error
	// ListDeletions returns up to limit accounts whose deletion began before
	// the given time and has not ended, oldest first.
	ListDeletions(ctx context.Context, before time.Time, limit int) ([]int64, error)
	// ListErased returns up to limit ids of accounts that were erased before the
	// given time and not forgotten, oldest first.
	ListErased(ctx context.Context, before time.Time, limit int) ([]int64, error)
	// ForgetErased forgets the id of an erased account. One that is not known is
	// fine.
	ForgetErased(ctx context.Context, id int64) error
}

// SessionRepository stores signed-in devices.
type SessionRepository interface {
	// CreateSession stores a session of an active account whose password hash
	// is still the given one, and removes the least recently used sessions
	// beyond the newest keep. Otherwise it is a Conflict with code
	// "password_changed".
	CreateSession(ctx context.Context, session Session, passwordHash logging.Secret, keep int) error
	// FindSession returns a session, live or not, with its account, or NotFound.
	FindSession(ctx context.Context, id string) (Session, User, error)
	// RotateRefreshToken exchanges the current token of a session for the next
	// one. Of any number of concurrent calls with one token exactly one wins.
	// Unauthenticated with the codes "invalid_refresh_token" for an unknown
	// family; "refresh_token_reused" for a spent token, which also ends the
	// session and returns it; "session_revoked"; "refresh_token_expired".
	RotateRefreshToken(ctx context.Context, rotation Rotation) (Session, User, error)
	// ListSessions returns the live sessions of an account, last used first.
	ListSessions(ctx context.Context, userID int64, now time.Time) ([]Session, error)
	// RevokeSession ends a live session of the account, or is NotFound.
	RevokeSession(ctx context.Context, userID int64, id string, now time.Time) error
	// RevokeSessions ends every session of the account, or is NotFound when the
	// account is.
	RevokeSessions(ctx context.Context, userID int64) error
	// RevokeFamily ends the session that a refresh token, spent or not, belongs
	// to and returns its id, or NotFound.
	RevokeFamily(ctx context.Context, familyHash string) (string, error)
	// DeleteSessions removes up to limit sessions that expired before the given
	// time and returns how many there were.
	DeleteSessions(ctx context.Context, before time.Time, limit int) (int64, error)
}

// Rotation is one exchange of a refresh token.
type Rotation struct {
	FamilyHash string
	SpentHash  string // of the token that was presented
	NextHash   string
	Now        time.Time
	ExpiresAt  time.Time
	Client     identity.Client
}

// KeyRepository stores API keys.
type KeyRepository interface {
	// CreateKey stores a key of an active account. An account that has max keys
	// already is a Conflict with code "too_many_api_keys"; one that is not
	// active is NotFound.
	CreateKey(ctx context.Context, key Key, max int) error
	// FindKeyByHash returns the key with its account, or NotFound.
	FindKeyByHash(ctx context.Context, hash string) (Key, User, error)
	// ListKeys returns the keys of an account, newest first.
	ListKeys(ctx context.Context, userID int64) ([]Key, error)
	// DeleteKey removes a key of the account, or is NotFound.
	DeleteKey(ctx context.Context, userID int64, id string) error
	// TouchKey records that the key was used, unless that is recorded for a
	// later time already.
	TouchKey(ctx context.Context, id string, at time.Time) error
}

// QuotaRepository counts requests per account, UTC day and service.
type QuotaRepository interface {
	// ChargeQuota counts one request if fewer than limit are counted, and
	// reports whether it did. It is exact under concurrency.
	ChargeQuota(ctx context.Context, charge Charge) (bool, error)
	// DeleteQuotaUsage removes up to limit counts of days before the given one
	// and returns how many there were.
	DeleteQuotaUsage(ctx context.Context, beforeDay string, limit int) (int64, error)
}

// Charge is one request against a quota.
type Charge struct {
	UserID  int64
	Day     string // 2026-01-31, in UTC
	Service string
	Limit   int64
}
