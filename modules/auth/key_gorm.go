package auth

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// sqlKeys is the KeyRepository on PostgreSQL and SQLite.
type sqlKeys struct{ db *database.DB }

func (r sqlKeys) CreateKey(ctx context.Context, key Key, max int) error {
	row := keyRowOf(key)
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		owner, err := lockUser(tx, key.UserID)
		if database.IsNotFound(err) || err == nil && !owner.user().Active() {
			return userNotFound()
		}
		if err != nil {
			return err
		}
		var count int64
		if err := tx.Model(&keyRow{}).Where("user_id = ?", key.UserID).Count(&count).Error; err != nil {
			return err
		}
		if count >= int64(max) {
			return fault.New(fault.Conflict, "too_many_api_keys", fmt.Sprintf("An account can have %d API keys. Delete one first.", max))
		}
		return tx.Omit("Owner").Create(&row).Error
	})
	return database.Fault(err)
}

func (r sqlKeys) FindKeyByHash(ctx context.Context, hash string) (Key, User, error) {
	var row keyRow
	if err := r.db.Read(ctx).Joins("Owner").Where("key_hash = ?", hash).Take(&row).Error; err != nil {
		return Key{}, User{}, keyFault(err)
	}
	return row.key(), row.Owner.user(), nil
}

func (r sqlKeys) ListKeys(ctx context.Context, userID int64) ([]Key, error) {
	var rows []keyRow
	if err := r.db.Read(ctx).Where("user_id = ?", userID).Order("created_at DESC, id DESC").Find(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	keys := make([]Key, 0, len(rows))
	for _, row := range rows {
		keys = append(keys, row.key())
	}
	return keys, nil
}

func (r sqlKeys) DeleteKey(ctx context.Context, userID int64, id string) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Where("id = ? AND user_id = ?", id, userID).Delete(&keyRow{})
		if done.Error == nil && done.RowsAffected == 0 {
			return gorm.ErrRecordNotFound
		}
		return done.Error
	})
	return keyFault(err)
}

func (r sqlKeys) TouchKey(ctx context.Context, id string, at time.Time) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Model(&keyRow{}).Where("id = ? AND (last_used_at IS NULL OR last_used_at < ?)", id, at).
			Update("last_used_at", at).Error
	})
	return database.Fault(err)
}

func keyFault(err error) error {
	if database.IsNotFound(err) {
		return fault.NotFoundf("There is no such API key.")
	}
	return database.Fault(err)
}

type keyRow struct {
	ID         string `gorm:"primaryKey"`
	UserID     int64
	Owner      userRow `gorm:"foreignKey:UserID"`
	Name       string
	Prefix     string
	KeyHash    string
	CreatedAt  time.Time
	LastUsedAt *time.Time
	ExpiresAt  *time.Time
}

func (keyRow) TableName() string { return "api_keys" }

func keyRowOf(k Key) keyRow {
	return keyRow{
		ID: k.ID, UserID: k.UserID, Name: k.Name, Prefix: k.Prefix, KeyHash: k.Hash,
		CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt, ExpiresAt: k.ExpiresAt,
	}
}

func (r keyRow) key() Key {
	return Key{
		ID: r.ID, UserID: r.UserID, Name: r.Name, Prefix: r.Prefix, Hash: r.KeyHash,
		CreatedAt: r.CreatedAt.UTC(), LastUsedAt: inUTC(r.LastUsedAt), ExpiresAt: inUTC(r.ExpiresAt),
	}
}
