package analytics

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"llmhist/platform/database"
)

const (
	// eraseEvents is how many events one step of DetachUser changes.
	eraseEvents = 1000
	// eraseHours is how much of an account's rollups one step moves, in seconds.
	eraseHours = 31 * 86400
)

func (r *gormRepository) DetachUser(ctx context.Context, userID int64) error {
	if userID <= 0 {
		return ctx.Err() // nobody
	}
	for {
		changed, err := r.detachEvents(ctx, userID)
		if err != nil {
			return database.Fault(err)
		}
		if changed == 0 {
			break
		}
	}
	for {
		moved, err := r.detachHours(ctx, userID)
		if err != nil || !moved {
			return database.Fault(err)
		}
	}
}

func (r *gormRepository) detachEvents(ctx context.Context, userID int64) (changed int64, err error) {
	withoutObject := "json_remove(metadata, '$.object_id')"
	if r.db.Dialect() == database.Postgres {
		withoutObject = "metadata - 'object_id'"
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		result := tx.Exec("UPDATE analytics_events SET user_id = ?, request_id = '', metadata = "+withoutObject+
			" WHERE id IN (SELECT id FROM analytics_events WHERE user_id = ? LIMIT ?)", ErasedUser, userID, eraseEvents)
		changed = result.RowsAffected
		return result.Error
	})
	return changed, err
}

// detachHours moves the earliest rollups of the account and reports whether
// there were any. What is added is exactly what DELETE returned, so increments
// that arrive meanwhile are either in it or stay for the next step.
func (r *gormRepository) detachHours(ctx context.Context, userID int64) (moved bool, err error) {
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		var earliest *int64
		err := tx.Table("analytics_hours").Where("user_id = ?", userID).Select("MIN(hour)").Scan(&earliest).Error
		if err != nil || earliest == nil {
			return err
		}
		moved = true
		until := *earliest + eraseHours
		if err := lockHours(tx, userID, until); err != nil {
			return err
		}
		var hours []hourRow
		if err := tx.Raw("DELETE FROM analytics_hours WHERE user_id = ? AND hour < ? RETURNING *", userID, until).Scan(&hours).Error; err != nil {
			return err
		}
		var latencies []latencyRow
		if err := tx.Raw("DELETE FROM analytics_latencies WHERE user_id = ? AND hour < ? RETURNING *", userID, until).Scan(&latencies).Error; err != nil {
			return err
		}
		return addErased(tx, hours, latencies)
	})
	return moved, err
}

// lockHours takes PostgreSQL's row locks in the order Append takes them, so that
// the two cannot deadlock.
func lockHours(tx *gorm.DB, userID, until int64) error {
	var hours []int64
	return tx.Table("analytics_hours").Select("hour").Where("user_id = ? AND hour < ?", userID, until).
		Order("hour, user_id, service, provider, model").Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).
		Scan(&hours).Error
}

func addErased(tx *gorm.DB, hours []hourRow, latencies []latencyRow) error {
	for i := range hours {
		hours[i].Key.UserID = ErasedUser
	}
	for i := range latencies {
		latencies[i].Key.UserID = ErasedUser
	}
	if err := addHours(tx, sorted(hours)); err != nil {
		return err
	}
	return addLatencies(tx, sorted(latencies))
}

func (r *gormRepository) DeleteEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	var deleted int64
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		result := tx.Exec("DELETE FROM analytics_events WHERE id IN (SELECT id FROM analytics_events WHERE ts < ? ORDER BY ts LIMIT ?)",
			before.UTC(), limit)
		deleted = result.RowsAffected
		return result.Error
	})
	return deleted, database.Fault(err)
}
