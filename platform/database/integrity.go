package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
)

// ErrOlderSchema says that migrations are pending.
var ErrOlderSchema = errors.New("the database schema is older than this binary: bring it up to date with llmhist migrate up")

// RequireSchema returns an error unless the schema is that of files.
func (db *DB) RequireSchema(ctx context.Context, files fs.FS) error {
	schema, err := db.CheckSchema(ctx, files)
	if err == nil && schema.Pending > 0 {
		err = ErrOlderSchema
	}
	return err
}

// maxIntegrity is how many faults of a file are listed.
const maxIntegrity = 100

// CheckIntegrity reads the whole SQLite file and returns what is wrong with its
// structure and its foreign keys, a line for each, never a value. PostgreSQL
// has no such check that needs no extension: nothing is returned for it.
func (db *DB) CheckIntegrity(ctx context.Context) ([]string, error) {
	if db.dialect != SQLite {
		return nil, nil
	}
	faults := []string{}
	err := db.eachRow(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxIntegrity), func(rows *sql.Rows) error {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			faults = append(faults, line)
		}
		return nil
	})
	if err != nil {
		return nil, Fault(err)
	}
	broken := map[string]int{}
	err = db.eachRow(ctx, "PRAGMA foreign_key_check", func(rows *sql.Rows) error {
		var table, parent string
		var row, key sql.NullInt64
		if err := rows.Scan(&table, &row, &parent, &key); err != nil {
			return err
		}
		broken[table+" refer to rows of "+parent]++
		return nil
	})
	for which, count := range broken {
		faults = append(faults, fmt.Sprintf("%d rows of %s that are not there", count, which))
	}
	return faults, Fault(err)
}

func (db *DB) eachRow(ctx context.Context, query string, scan func(*sql.Rows) error) error {
	rows, err := pool(db.read).QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
