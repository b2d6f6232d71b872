package auth

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// sqlQuotas is the QuotaRepository on PostgreSQL and SQLite.
type sqlQuotas struct{ db *database.DB }

func (r sqlQuotas) ChargeQuota(ctx context.Context, c Charge) (bool, error) {
	if c.Limit < 1 {
		return false, nil
	}
	charged := false
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Exec(`INSERT INTO quota_usage (user_id, day, service, used) VALUES (?, ?, ?, 1)
			ON CONFLICT (user_id, day, service) DO UPDATE SET used = quota_usage.used + 1 WHERE quota_usage.used < ?`,
			c.UserID, c.Day, c.Service, c.Limit)
		charged = done.RowsAffected == 1
		return done.Error
	})
	return charged && err == nil, database.Fault(err)
}

func (r sqlQuotas) DeleteQuotaUsage(ctx context.Context, beforeDay string, limit int) (int64, error) {
	var removed int64
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		done := tx.Exec(`DELETE FROM quota_usage WHERE (user_id, day, service) IN (
			SELECT user_id, day, service FROM quota_usage WHERE day < ? ORDER BY day LIMIT ?)`, beforeDay, limit)
		removed = done.RowsAffected
		return done.Error
	})
	return removed, database.Fault(err)
}

type quotaRow struct {
	UserID  int64  `gorm:"primaryKey"`
	Day     string `gorm:"primaryKey"`
	Service string `gorm:"primaryKey"`
	Used    int64
}

func (quotaRow) TableName() string { return "quota_usage" }
