package auth

import (
	"context"
	"fmt"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/database"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// Archive moves what the module keeps, in a form that no engine shapes. Hashes
// of passwords, tokens and keys are in it; signing keys are not.
type Archive struct{ db *database.DB }

// NewArchive returns the archive of the accounts in db.
func NewArchive(db *database.DB) Archive { return Archive{db} }

// The streams, in the order in which they can be imported.
const (
	streamUsers    = "auth.users"
	streamSequence = "auth.sequence"
	streamSessions = "auth.sessions"
	streamKeys     = "auth.api_keys"
	streamQuotas   = "auth.quota_usage"
	streamErased   = "auth.erased_users"
)

// importPage is how many rows are imported at once.
const importPage = 200

// Streams names what there is, in the order of import.
func (a Archive) Streams() []string {
	return []string{streamUsers, streamSequence, streamSessions, streamKeys, streamQuotas, streamErased}
}

// Import stores the rows of a stream where there are none.
func (a Archive) Import(ctx context.Context, stream string, lines *archive.Lines) error {
	switch stream {
	case streamUsers:
		return archive.Pages(lines, importPage, func(page []archivedUser) error { return a.insertUsers(ctx, page) })
	case streamSequence:
		return archive.Pages(lines, 1, func(page []archivedSequence) error { return a.setSequence(ctx, page[0]) })
	case streamSessions:
		return archive.Pages(lines, importPage, func(page []archivedSession) error { return a.insertSessions(ctx, page) })
	case streamKeys:
		return archive.Pages(lines, importPage, func(page []archivedKey) error { return a.insertKeys(ctx, page) })
	case streamQuotas:
		return archive.Pages(lines, importPage, func(page []archivedQuota) error { return a.insertQuotas(ctx, page) })
	case streamErased:
		return archive.Pages(lines, importPage, func(page []archivedErased) error { return a.insertErased(ctx, page) })
	}
	return fmt.Errorf("auth has no stream %s", stream)
}

// Complete has nothing to do.
func (a Archive) Complete(context.Context) error { return nil }

// archivedUser is a line of auth.users, ordered by id.
type archivedUser struct {
	ID           int64      `json:"id"`
	Email        string     `json:"email"`
	PasswordHash string     `json:"password_hash"`
	Role         string     `json:"role"`
	Name         string     `json:"name"`
	ChatPerDay   *int64     `json:"chat_per_day"`
	ImagePerDay  *int64     `json:"image_per_day"`
	SpeechPerDay *int64     `json:"speech_per_day"`
	DisabledAt   *time.Time `json:"disabled_at"`
	DeletingAt   *time.Time `json:"deleting_at"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
}

func archivedUserOf(u User) archivedUser {
	return archivedUser{
		ID: u.ID, Email: u.Email, PasswordHash: u.PasswordHash.Reveal(), Role: string(u.Role), Name: u.Name,
		ChatPerDay: u.Quotas.ChatPerDay, ImagePerDay: u.Quotas.ImagePerDay, SpeechPerDay: u.Quotas.SpeechPerDay,
		DisabledAt: u.DisabledAt, DeletingAt: u.DeletingAt, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

func (u archivedUser) user() User {
	return User{
		ID: u.ID, Email: u.Email, PasswordHash: logging.Secret(u.PasswordHash), Role: identity.Role(u.Role), Name: u.Name,
		Quotas:     Quotas{ChatPerDay: u.ChatPerDay, ImagePerDay: u.ImagePerDay, SpeechPerDay: u.SpeechPerDay},
		DisabledAt: u.DisabledAt, DeletingAt: u.DeletingAt, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

// archivedSequence is the one line of auth.sequence: the highest id that was
// ever given to a user. Ids are not given twice, also after a restore.
type archivedSequence struct {
	LastUserID int64 `json:"last_user_id"`
}

// archivedSession is a line of auth.sessions, ordered by id.
type archivedSession struct {
	ID         string    `json:"id"`
	UserID     int64     `json:"user_id"`
	TokenHash  string    `json:"token_hash"`
	FamilyHash string    `json:"family_hash"`
	ExpiresAt  time.Time `json:"expires_at"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	Revoked    bool      `json:"revoked"`
	UserAgent  string    `json:"user_agent"`
	IP         string    `json:"ip"`
}

func archivedSessionOf(s Session) archivedSession {
	return archivedSession{
		ID: s.ID, UserID: s.UserID, TokenHash: s.TokenHash, FamilyHash: s.FamilyHash, ExpiresAt: s.ExpiresAt,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, Revoked: s.Revoked, UserAgent: s.Client.UserAgent, IP: s.Client.IP,
	}
}

func (s archivedSession) session() Session {
	return Session{
		ID: s.ID, UserID: s.UserID, TokenHash: s.TokenHash, FamilyHash: s.FamilyHash, ExpiresAt: s.ExpiresAt,
		CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, Revoked: s.Revoked,
		Client: identity.Client{UserAgent: s.UserAgent, IP: s.IP},
	}
}

// archivedKey is a line of auth.api_keys, ordered by id.
type archivedKey struct {
	ID         string     `json:"id"`
	UserID     int64      `json:"user_id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"`
	Hash       string     `json:"hash"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
}

// archivedQuota is a line of auth.quota_usage, ordered by user, day and service.
type archivedQuota struct {
	UserID  int64  `json:"user_id"`
	Day     string `json:"day"`
	Service string `json:"service"`
	Used    int64  `json:"used"`
}

// archivedErased is a line of auth.erased_users, ordered by user: an account that
// is gone and of which something may be in what is archived, so that it is to be
// erased once more where that is restored.
type archivedErased struct {
	UserID   int64     `json:"user_id"`
	ErasedAt time.Time `json:"erased_at"`
}
