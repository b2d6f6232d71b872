package analytics

import (
	"context"
	"time"

	"gorm.io/gorm"

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
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		result := tx.Exec("UPDATE analytics_events SET user_id = ?, request_id = '', metadata = "+withoutObject+
			" WHERE id IN (SELECT id FROM analytics_events WHERE user_id = ? LIMIT ?)", ErasedUser, userID, eraseEvents)
		changed = result.RowsAffected
		return result.Error
	})
	return changed, err
}

// detachHours moves the earliest rollups of the account and reports whether
// there were any. Increments that arrive meanwhile wait, and then begin new
// rows of the account, which the next step moves.
func (r *gormRepository) detachHours(ctx context.Context, userID int64) (moved bool, err error) {
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		var earliest *int64
		err := tx.Table("analytics_hours").Where("user_id = ?", userID).Select("MIN(hour)").Scan(&earliest).Error
		if err != nil || earliest == nil {
			return err
		}
		moved = true
		until := *earliest + eraseHours
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
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		result := tx.Exec("DELETE FROM analytics_events WHERE id IN (SELECT id FROM analytics_events WHERE ts < ? ORDER BY ts LIMIT ?)",
			before.UTC(), limit)
		deleted = result.RowsAffected
		return result.Error
	})
	return deleted, database.Fault(err)
}
