package database

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/gorm"
)

// errSnapshot is what Write of a snapshot returns.
var errSnapshot = errors.New("a snapshot cannot be written to")

// longestWhole bounds one transaction of WriteWhole: everything an installation
// holds goes through one.
const longestWhole = 24 * time.Hour

// Snapshot calls read with a handle whose Read sees one moment of the database,
// whatever others commit meanwhile, and whose Write refuses. The handle ends
// with read. On SQLite the file cannot take over its write-ahead log as long;
// nobody waits for a snapshot.
func (db *DB) Snapshot(ctx context.Context, read func(snapshot *DB) error) error {
	options := &sql.TxOptions{ReadOnly: true}
	if db.dialect == Postgres {
		options.Isolation = sql.LevelRepeatableRead
	}
	tx := db.read.WithContext(ctx).Begin(options)
	if tx.Error != nil {
		return tx.Error
	}
	defer tx.Rollback()
	var one int // the moment is that of the first query
	if err := tx.Raw("SELECT COUNT(*) FROM goose_db_version").Scan(&one).Error; err != nil {
		return err
	}
	return read(&DB{dialect: db.dialect, dir: db.dir, read: tx, whole: true, frozen: true})
}

// WriteWhole calls change with a handle whose Reads and Writes are all part of
// one transaction, which becomes visible and durable when change returns nil,
// and is undone when it returns an error. The handle ends with change and is
// used by one goroutine. It may take as long as ctx allows, up to a day.
func (db *DB) WriteWhole(ctx context.Context, change func(whole *DB) error) error {
	return db.Write(Allow(ctx, longestWhole), func(tx *gorm.DB) error {
		return change(&DB{dialect: db.dialect, dir: db.dir, read: tx, write: tx, whole: true})
	})
}
