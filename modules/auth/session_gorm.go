package auth

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
)

// sqlSessions is the SessionRepository on PostgreSQL and SQLite.
type sqlSessions struct{ db *database.DB }

func (r sqlSessions) CreateSession(ctx context.Context, session Session, passwordHash logging.Secret, keep int) error {
	row := sessionRowOf(session)
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		owner, err := lockUser(tx, session.UserID)
		if database.IsNotFound(err) {
			return passwordChanged()
		}
		if err != nil {
			return err
		}
		if owner.PasswordHash != passwordHash.Reveal() || !owner.user().Active() {
			return passwordChanged()
		}
		if err := tx.Omit("Owner").Create(&row).Error; err != nil {
			return err
		}
		return trimSessions(tx, session.UserID, keep)
	})
	return database.Fault(err)
}

// trimSessions removes ended sessions first, then those unused the longest.
func trimSessions(tx *gorm.DB, userID int64, keep int) error {
	var kept []string
	err := tx.Model(&sessionRow{}).Where("user_id = ?", userID).
		Order("revoked, last_used_at DESC, id DESC").Limit(keep).Pluck("id", &kept).Error
	if err != nil || len(kept) < keep {
		return err
	}
	return tx.Where("user_id = ? AND id NOT IN ?", userID, kept).Delete(&sessionRow{}).Error
}

func (r sqlSessions) FindSession(ctx context.Context, id string) (Session, User, error) {
	return findSession(r.db.Read(ctx), "sessions.id = ?", id)
}

func findSession(tx *gorm.DB, condition, argument string) (Session, User, error) {
	var row sessionRow
	if err := tx.Joins("Owner").Where(condition, argument).Take(&row).Error; err != nil {
		return Session{}, User{}, sessionFault(err)
	}
	return row.session(), row.Owner.user(), nil
}

func (r sqlSessions) RotateRefreshToken(ctx context.Context, p Rotation) (Session, User, error) {
	// Reading first keeps guessed tokens away from the one writer.
	session, owner, err := findSession(r.db.Read(ctx), "token_family = ?", p.FamilyHash)
	if fault.Is(err, fault.NotFound) {
		return Session{}, User{}, invalidRefreshToken()
	}
	if err != nil {
		return Session{}, User{}, err
	}
	var refused error // kept apart: ending a session on reuse must be committed
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Model(&sessionRow{}).
			Where("refresh_token = ? AND token_family = ? AND NOT revoked AND expires_at > ?", p.SpentHash, p.FamilyHash, p.Now).
			Updates(map[string]any{
				"refresh_token": p.NextHash, "expires_at": p.ExpiresAt, "last_used_at": p.Now,
				"ip": p.Client.IP, "user_agent": p.Client.UserAgent,
			})
		if done.Error != nil {
			return done.Error
		}
		var err error
		session, owner, err = findSession(tx, "token_family = ?", p.FamilyHash)
		switch {
		case fault.Is(err, fault.NotFound):
			return invalidRefreshToken()
		case err != nil || done.RowsAffected == 1:
			return err
		}
		refused = refusal(session, p)
		if session.TokenHash == p.SpentHash {
			return nil
		}
		return tx.Model(&sessionRow{}).Where("id = ?", session.ID).Update("revoked", true).Error
	})
	if err == nil {
		err = refused
	}
	return session, owner, database.Fault(err)
}

// refusal says why a token of a known family was not exchanged.
func refusal(session Session, p Rotation) error {
	switch {
	case session.TokenHash != p.SpentHash:
		return fault.New(fault.Unauthenticated, "refresh_token_reused",
			"This refresh token was exchanged before, so somebody may have copied it. The session was ended; sign in again.")
	case session.Revoked:
		return sessionRevoked()
	default:
		return fault.New(fault.Unauthenticated, "refresh_token_expired", "The refresh token has expired. Sign in again.")
	}
}

func (r sqlSessions) ListSessions(ctx context.Context, userID int64, now time.Time) ([]Session, error) {
	var rows []sessionRow
	err := r.db.Read(ctx).Where("user_id = ? AND NOT revoked AND expires_at > ?", userID, now).
		Order("last_used_at DESC, id DESC").Find(&rows).Error
	if err != nil {
		return nil, database.Fault(err)
	}
	sessions := make([]Session, 0, len(rows))
	for _, row := range rows {
		sessions = append(sessions, row.session())
	}
	return sessions, nil
}

func (r sqlSessions) RevokeSession(ctx context.Context, userID int64, id string, now time.Time) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Model(&sessionRow{}).
			Where("id = ? AND user_id = ? AND NOT revoked AND expires_at > ?", id, userID, now).Update("revoked", true)
		if done.Error == nil && done.RowsAffected == 0 {
			return gorm.ErrRecordNotFound
		}
		return done.Error
	})
	return sessionFault(err)
}

func (r sqlSessions) RevokeSessions(ctx context.Context, userID int64) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		if _, err := lockUser(tx, userID); err != nil {
			return err
		}
		return endSessions(tx, userID, "")
	})
	return userFault(err)
}

// endSessions revokes the sessions of an account except one.
func endSessions(tx *gorm.DB, userID int64, except string) error {
	return tx.Model(&sessionRow{}).Where("user_id = ? AND id <> ? AND NOT revoked", userID, except).Update("revoked", true).Error
}

func (r sqlSessions) RevokeFamily(ctx context.Context, familyHash string) (string, error) {
	var row sessionRow
	if err := r.db.Read(ctx).Where("token_family = ?", familyHash).Take(&row).Error; err != nil || row.Revoked {
		return row.ID, sessionFault(err)
	}
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Model(&sessionRow{}).Where("id = ?", row.ID).Update("revoked", true).Error
	})
	return row.ID, database.Fault(err)
}

func (r sqlSessions) DeleteSessions(ctx context.Context, before time.Time, limit int) (int64, error) {
	var removed int64
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		var ids []string
		err := tx.Model(&sessionRow{}).Where("expires_at < ?", before).Order("expires_at, id").Limit(limit).Pluck("id", &ids).Error
		if err != nil || len(ids) == 0 {
			return err
		}
		done := tx.Where("id IN ?", ids).Delete(&sessionRow{})
		removed = done.RowsAffected
		return done.Error
	})
	return removed, database.Fault(err)
}

func sessionFault(err error) error {
	if database.IsNotFound(err) {
		return fault.NotFoundf("There is no such session.")
	}
	return database.Fault(err)
}

func sessionRevoked() error {
	return fault.New(fault.Unauthenticated, "session_revoked", "This session was ended. Sign in again.")
}

func invalidRefreshToken() error {
	return fault.New(fault.Unauthenticated, "invalid_refresh_token", "This is not a refresh token of this server. Sign in again.")
}

type sessionRow struct {
	ID           string `gorm:"primaryKey"`
	UserID       int64
	Owner        userRow `gorm:"foreignKey:UserID"`
	RefreshToken string
	TokenFamily  string
	ExpiresAt    time.Time
	CreatedAt    time.Time
	LastUsedAt   time.Time
	Revoked      bool
	UserAgent    string
	IP           string `gorm:"column:ip"`
}

func (sessionRow) TableName() string { return "sessions" }

func sessionRowOf(s Session) sessionRow {
	return sessionRow{
		ID: s.ID, UserID: s.UserID, RefreshToken: s.TokenHash, TokenFamily: s.FamilyHash,
		ExpiresAt: s.ExpiresAt, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt,
		Revoked: s.Revoked, UserAgent: s.Client.UserAgent, IP: s.Client.IP,
	}
}

func (r sessionRow) session() Session {
	return Session{
		ID: r.ID, UserID: r.UserID, TokenHash: r.RefreshToken, FamilyHash: r.TokenFamily,
		ExpiresAt: r.ExpiresAt.UTC(), CreatedAt: r.CreatedAt.UTC(), LastUsedAt: r.LastUsedAt.UTC(),
		Revoked: r.Revoked, Client: identity.Client{IP: r.IP, UserAgent: r.UserAgent},
	}
}
