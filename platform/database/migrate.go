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

// ErrNewerSchema says the database was migrated by a newer release.
var ErrNewerSchema = errors.New("the database schema is newer than this binary: install the release that wrote it, or restore a backup from before the upgrade")

// Migration is one numbered step of the schema.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero when pending
}

// Migrate applies every pending migration of the dialect's directory in files
// and returns how many there were. Several processes may call it at once.
func (db *DB) Migrate(ctx context.Context, files fs.FS) (int, error) {
	unlock, err := db.lockSchema(ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for another process that migrates: %w", err)
	}
	defer unlock()
	provider, err := db.provider(files)
	if err != nil {
		return 0, err
	}
	if err := refuseNewer(ctx, provider); err != nil {
		return 0, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("apply migrations: %w", err)
	}
	return len(results), nil
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

// Migrations lists every migration in order with the time it was applied.
func (db *DB) Migrations(ctx context.Context, files fs.FS) ([]Migration, error) {
	provider, err := db.provider(files)
	if err != nil {
		return nil, err
	}
	statuses, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	list := make([]Migration, 0, len(statuses))
	for _, status := range statuses {
		list = append(list, Migration{Version: status.Source.Version, Name: status.Source.Path, AppliedAt: status.AppliedAt})
	}
	return list, nil
}

func (db *DB) provider(files fs.FS) (*goose.Provider, error) {
	own, err := fs.Sub(files, string(db.dialect))
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, db.Handle(), own, options...)
}

func refuseNewer(ctx context.Context, provider *goose.Provider) error {
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w (database %d, binary %d)", ErrNewerSchema, current, target)
	}
	return nil
}
