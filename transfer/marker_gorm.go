package transfer

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// findValue returns the value of a key of the installation, "" when it has none.
func findValue(ctx context.Context, db *database.DB, key string) (string, error) {
	var values []string
	err := db.Read(ctx).Table("installation").Where("key = ?", key).Pluck("value", &values).Error
	if err != nil || len(values) == 0 {
		return "", database.Fault(err)
	}
	return values[0], nil
}

func putValue(ctx context.Context, db *database.DB, key, value string) error {
	return database.Fault(db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO installation (key, value) VALUES (?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value).Error
	}))
}

func deleteValue(ctx context.Context, db *database.DB, key string) error {
	return database.Fault(db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Exec("DELETE FROM installation WHERE key = ?", key).Error
	}))
}

// claimValue stores value unless the key has one, and returns what it has.
func claimValue(ctx context.Context, db *database.DB, key, value string) (string, error) {
	err := database.Fault(db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Exec("INSERT INTO installation (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", key, value).Error
	}))
	if err != nil {
		return "", err
	}
	return findValue(ctx, db, key)
}

// livingFor is how long after its last sign of life a server counts as serving.
const livingFor = "1 minute"

// countServing returns how many servers say that they serve from db. A schema
// without the table of servers has none.
func countServing(ctx context.Context, db *database.DB) (int64, error) {
	read := db.Read(ctx)
	if db.Dialect() != database.Postgres || !read.Migrator().HasTable("instances") {
		return 0, nil // the lock of the data directory tells it for SQLite
	}
	var count int64
	err := read.Table("instances").Where("seen_at > CURRENT_TIMESTAMP - CAST(? AS INTERVAL)", livingFor).Count(&count).Error
	return count, database.Fault(err)
}
