package auth

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/check"
	"llmhist/platform/database"
)

// sqlAccounts reads accounts for comparisons.
type sqlAccounts struct{ db *database.DB }

// FindAccounts returns what is known about the accounts; see check.Accounts.
func (a sqlAccounts) FindAccounts(ctx context.Context, ids []int64) (check.Accounting, error) {
	found := check.Accounting{Known: map[int64]check.Account{}}
	if len(ids) == 0 {
		return found, nil
	}
	var rows []userRow
	if err := a.db.Read(ctx).Select("id", "created_at", "deleting_at").Where("id IN ?", ids).Find(&rows).Error; err != nil {
		return found, database.Fault(err)
	}
	for _, row := range rows {
		found.Known[row.ID] = check.Account{CreatedAt: row.CreatedAt.UTC(), Leaving: row.DeletingAt != nil}
	}
	if len(found.Known) == len(ids) {
		return found, nil
	}
	return found, database.Fault(a.readPast(ctx, &found))
}

// readPast finds out which ids this database has ever given, and since when.
func (a sqlAccounts) readPast(ctx context.Context, found *check.Accounting) error {
	last := "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'users'"
	if a.db.Dialect() == database.Postgres {
		last = "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('users', 'id')::regclass), 0)"
	}
	if err := a.db.Read(ctx).Raw(last).Scan(&found.LastID).Error; err != nil {
		return err
	}
	var first struct{ Tstamp time.Time } // of the first migration
	err := a.db.Read(ctx).Table("goose_db_version").Select("tstamp").Where("version_id > 0").Order("id").Limit(1).Scan(&first).Error
	found.Since = first.Tstamp.UTC()
	return err
}

// ownedKind is a table whose rows belong to accounts.
type ownedKind struct{ table, code, noun string }

var ownedKinds = []ownedKind{
	{"sessions", "session_without_account", "sessions"},
	{"api_keys", "key_without_account", "API keys"},
	{"quota_usage", "quota_without_account", "counts of requests"},
}

const orphaned = "user_id NOT IN (SELECT id FROM users)"

func (a sqlAccounts) countOrphans(ctx context.Context, kind ownedKind) (count int64, err error) {
	err = a.db.Read(ctx).Table(kind.table).Where(orphaned).Count(&count).Error
	return count, database.Fault(err)
}

func (a sqlAccounts) deleteOrphans(ctx context.Context, kind ownedKind) error {
	return database.Fault(a.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Exec("DELETE FROM " + kind.table + " WHERE " + orphaned).Error
	}))
}

func (a sqlAccounts) countRows(ctx context.Context) (int64, error) {
	var total int64
	for _, table := range []string{"users", "sessions", "api_keys", "quota_usage"} {
		var count int64
		if err := a.db.Read(ctx).Table(table).Count(&count).Error; err != nil {
			return 0, database.Fault(err)
		}
		total += count
	}
	return total, nil
}
