package database

import (
	"context"
	"time"
)

// Clock returns what the clock of the server's machine says. SQLite has none
// but that of this process: ok is false.
func (db *DB) Clock(ctx context.Context) (at time.Time, ok bool, err error) {
	if db.dialect == SQLite {
		return time.Time{}, false, nil
	}
	err = db.Handle().QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&at)
	return at, err == nil, err
}
