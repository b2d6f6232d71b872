package analytics

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// staleAccounts reads the hours once: those of any service are found in what they
// are by service. The signs before user_id keep SQLite from reading them in the
// order of an index, each from another place of the table.
const staleAccounts = `
WITH served AS MATERIALIZED (
    SELECT +user_id AS user_id, service, MIN(first_ms) AS first_ms, MAX(last_ms) AS last_ms FROM analytics_hours
    WHERE +user_id > 0 GROUP BY 1, 2
), truth AS MATERIALIZED (
    SELECT user_id, service, first_ms, last_ms FROM served WHERE service <> ''
    UNION ALL SELECT user_id, '', MIN(first_ms), MAX(last_ms) FROM served GROUP BY user_id
), stored AS (SELECT user_id, service, first_ms, last_ms FROM analytics_accounts)
SELECT user_id FROM (
    SELECT * FROM (SELECT * FROM truth EXCEPT SELECT * FROM stored) AS missing
    UNION ALL SELECT * FROM (SELECT * FROM stored EXCEPT SELECT * FROM truth) AS extra
) AS differing GROUP BY user_id ORDER BY user_id`

// ListStaleAccounts compares all accounts in one statement; see checkedAccounts.
func (r *gormRepository) ListStaleAccounts(ctx context.Context) ([]int64, error) {
	var users []int64
	err := r.db.Read(database.Allow(ctx, comparing)).Raw(staleAccounts).Scan(&users).Error
	return users, database.Fault(err)
}

// RebuildAccount replaces the rows of an account; see checkedAccounts.
func (r *gormRepository) RebuildAccount(ctx context.Context, userID int64) error {
	return database.Fault(r.db.Write(database.Allow(ctx, erasing), func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		if err := tx.Exec("DELETE FROM analytics_accounts WHERE user_id = ?", userID).Error; err != nil {
			return err
		}
		var hours []hourRow
		err := tx.Raw("SELECT user_id, service, MIN(first_ms) AS first_ms, MAX(last_ms) AS last_ms FROM analytics_hours "+
			"WHERE user_id = ? GROUP BY user_id, service", userID).Scan(&hours).Error
		if err != nil {
			return err
		}
		return addAccounts(database.In(tx), accountsOf(hours))
	}))
}
