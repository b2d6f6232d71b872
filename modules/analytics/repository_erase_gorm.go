package analytics

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// eraseEvents is how many events one step of DetachUser changes.
const eraseEvents = 1000

// erasing is how long one step of DetachUser or DeleteEvents may take, waiting
// for every append included. A month of a busy account has tens of thousands of
// rows.
const erasing = time.Minute

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
	err = r.db.Write(database.Allow(ctx, erasing), func(tx *gorm.DB) error {
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

// detachHours moves the earliest month of the account's rollups and reports
// whether there was any. Increments that arrive meanwhile wait, and then begin
// new rows of the account, which the next step moves.
func (r *gormRepository) detachHours(ctx context.Context, userID int64) (moved bool, err error) {
	err = r.db.Write(database.Allow(ctx, erasing), func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		var earliest *int64
		err := tx.Table("analytics_hours").Where("user_id = ?", userID).Select("MIN(hour)").Scan(&earliest).Error
		if err != nil {
			return err
		}
		if earliest == nil {
			return tx.Exec("DELETE FROM analytics_accounts WHERE user_id = ?", userID).Error
		}
		moved = true
		return detachMonth(tx, userID, BucketMonth.start(time.Unix(*earliest, 0).UTC()))
	})
	return moved, err
}

// detachMonth moves what the account has of a month to ErasedUser. Its longer
// sums, none of which reaches beyond the month, are made again from the hours.
func detachMonth(tx *gorm.DB, userID int64, month time.Time) error {
	from, until := month.Unix(), BucketMonth.next(month).Unix()
	var hours []hourRow
	err := tx.Raw("DELETE FROM analytics_hours WHERE user_id = ? AND hour >= ? AND hour < ? RETURNING *", userID, from, until).Scan(&hours).Error
	if err != nil {
		return err
	}
	var latencies []latencyRow
	err = tx.Raw("DELETE FROM analytics_latencies WHERE user_id = ? AND hour >= ? AND hour < ? RETURNING *", userID, from, until).Scan(&latencies).Error
	if err != nil {
		return err
	}
	for _, table := range []string{"analytics_sums", "analytics_ranks"} {
		err := tx.Exec("DELETE FROM "+table+" WHERE grain IN (?, ?) AND user_id = ? AND start >= ? AND start < ?",
			grainDay, grainMonth, userID, from, until).Error
		if err != nil {
			return err
		}
	}
	for i := range hours {
		hours[i].Key.UserID = ErasedUser
	}
	for i := range latencies {
		latencies[i].Key.UserID = ErasedUser
	}
	return addSums(database.In(tx), hours, latencies, movedRequests)
}

func (r *gormRepository) DeleteEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	var deleted int64
	err := r.db.Write(database.Allow(ctx, erasing), func(tx *gorm.DB) error {
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
