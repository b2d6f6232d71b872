package idempotency

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"llmhist/platform/database"
)

// NewStore returns a store in a database.
func NewStore(db *database.DB) Store { return gormStore{db} }

type gormStore struct{ db *database.DB }

type entryRow struct {
	UserID    int64  `gorm:"primaryKey"`
	Key       string `gorm:"primaryKey"`
	Request   string
	Instance  string
	Status    int
	Header    string
	Body      []byte
	CreatedAt time.Time `gorm:"autoCreateTime:false"`
}

// TableName names the table.
func (entryRow) TableName() string { return "idempotency_keys" }

const ofKey = "user_id = ? AND key = ?"

func (s gormStore) Begin(ctx context.Context, claim Claim) (*Entry, error) {
	var found *Entry
	err := s.db.Write(ctx, func(tx *gorm.DB) error {
		found = nil
		expired := tx.Where(ofKey+" AND created_at < ?", claim.UserID, claim.Key, claim.At.Add(-Life)).Delete(&entryRow{})
		if expired.Error != nil {
			return expired.Error
		}
		row := entryRow{UserID: claim.UserID, Key: claim.Key, Request: claim.Request, Instance: claim.Instance, CreatedAt: claim.At}
		made := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
		if made.Error != nil || made.RowsAffected == 1 {
			return made.Error
		}
		var there entryRow
		if err := tx.Where(ofKey, claim.UserID, claim.Key).Take(&there).Error; err != nil {
			return err
		}
		entry := there.entry()
		found = &entry
		return nil
	})
	if database.IsNotFound(err) { // whoever had the key forgot it in this moment
		return nil, underWay()
	}
	return found, database.Fault(err)
}

func (s gormStore) Find(ctx context.Context, userID int64, key string, at time.Time) (*Entry, error) {
	var row entryRow
	err := s.db.Read(ctx).Where(ofKey+" AND created_at >= ?", userID, key, at.Add(-Life)).Take(&row).Error
	if database.IsNotFound(err) {
		return nil, nil
	}
	entry := row.entry()
	return &entry, database.Fault(err)
}

func (r entryRow) entry() Entry {
	e := Entry{
		Claim:   Claim{UserID: r.UserID, Key: r.Key, Request: r.Request, Instance: r.Instance, At: r.CreatedAt.UTC()},
		Outcome: Outcome{Status: r.Status, Header: http.Header{}, Body: r.Body},
	}
	if r.Header != "" {
		e.Outcome.TooLarge = json.Unmarshal([]byte(r.Header), &e.Outcome.Header) != nil
	}
	e.Outcome.TooLarge = e.Outcome.TooLarge || r.Status != 0 && r.Body == nil
	return e
}

func (s gormStore) TakeOver(ctx context.Context, entry Entry, claim Claim) (taken bool, err error) {
	err = s.db.Write(ctx, func(tx *gorm.DB) error {
		changed := tx.Model(&entryRow{}).Where(ofKey+" AND status = 0 AND instance = ? AND created_at = ?", entry.UserID, entry.Key, entry.Instance, entry.At).
			Updates(map[string]any{"instance": claim.Instance, "created_at": claim.At})
		taken = changed.RowsAffected == 1
		return changed.Error
	})
	return taken, database.Fault(err)
}

func (s gormStore) Finish(ctx context.Context, claim Claim, outcome Outcome) error {
	header, err := json.Marshal(outcome.Header)
	if err != nil {
		return err
	}
	body := outcome.Body
	if outcome.TooLarge {
		body = nil
	} else if body == nil {
		body = []byte{}
	}
	return database.Fault(s.db.Write(ctx, func(tx *gorm.DB) error {
		return s.own(tx.Model(&entryRow{}), claim).Updates(map[string]any{"status": outcome.Status, "header": string(header), "body": body}).Error
	}))
}

// own selects the claim while it is under way.
func (s gormStore) own(tx *gorm.DB, claim Claim) *gorm.DB {
	return tx.Where(ofKey+" AND status = 0 AND instance = ? AND created_at = ?", claim.UserID, claim.Key, claim.Instance, claim.At)
}

func (s gormStore) Forget(ctx context.Context, claim Claim) error {
	return database.Fault(s.db.Write(ctx, func(tx *gorm.DB) error { return s.own(tx, claim).Delete(&entryRow{}).Error }))
}

func (s gormStore) ForgetAnswers(ctx context.Context, userID int64) error {
	return s.delete(ctx, "user_id = ? AND status <> 0", userID)
}

func (s gormStore) ForgetAllAnswers(ctx context.Context) error { return s.delete(ctx, "status <> 0") }

func (s gormStore) EraseUser(ctx context.Context, userID int64) error {
	return s.delete(ctx, "user_id = ?", userID)
}

func (s gormStore) Prune(ctx context.Context, now time.Time) error {
	return s.delete(ctx, "created_at < ?", now.Add(-Life))
}

func (s gormStore) delete(ctx context.Context, which string, args ...any) error {
	return database.Fault(s.db.Write(ctx, func(tx *gorm.DB) error { return tx.Where(which, args...).Delete(&entryRow{}).Error }))
}
