package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrationPatience is how many seconds a process waits for another one that
// migrates the same database.
const migrationPatience = 300

// BeforeMigration is called when an older database that is not empty is about
// to change, before anything of it does. An error leaves it as it is.
type BeforeMigration func(ctx context.Context, change Change) error

// Change says from which version of the schema to which.
type Change struct{ From, To int64 }

// Migrate applies every pending migration of the dialect's directory in files
// and returns how many there were. Each is one transaction with its record, so
// that a process that is killed leaves it done or not begun. Several processes
// may call it at once: one applies, the others wait. It refuses, unchanged, what
// CheckSchema refuses.
func (db *DB) Migrate(ctx context.Context, files fs.FS, before ...BeforeMigration) (int, error) {
	unlock, err := db.lockSchema(ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for another process that migrates: %w", err)
	}
	defer unlock()
	schema, err := db.CheckSchema(ctx, files)
	if err != nil || schema.Pending == 0 {
		return 0, err
	}
	if schema.Version > 0 {
		for _, call := range before {
			if err := call(ctx, Change{From: schema.Version, To: schema.Target}); err != nil {
				return 0, err
			}
		}
	}
	provider, err := db.provider(files)
	if err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return appliedBefore(err), fmt.Errorf("migrate the database from version %d to %d: %w", schema.Version, schema.Target, err)
	}
	// On PostgreSQL a newer release may have come in between.
	_, err = db.CheckSchema(ctx, files)
	return len(results), err
}

// appliedBefore returns how many migrations are in place although a later one
// failed.
func appliedBefore(err error) int {
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return len(partial.Applied)
	}
	return 0
}

// lockSchema keeps other processes from migrating the same SQLite file. The
// lock is on its directory, so that it leaves nothing behind and ends with the
// process. PostgreSQL has one of its own; see provider.
func (db *DB) lockSchema(ctx context.Context) (unlock func(), err error) {
	if db.dialect != SQLite {
		return func() {}, nil
	}
	dir, err := os.Open(db.dir)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = dir.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, dir.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), dir.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// provider applies migrations. On PostgreSQL it holds an advisory lock on the
// connection that migrates: the server frees it when that work has ended, also
// that of a process that was killed.
func (db *DB) provider(files fs.FS) (*goose.Provider, error) {
	own, err := fs.Sub(files, string(db.dialect))
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrationPatience))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, db.Handle(), own, options...)
}
