// Package database opens the SQL engines behind one small type. SQLite is the
// embedded default: WAL, synchronous=FULL, foreign keys on, one writer and many
// readers. PostgreSQL is the engine to grow onto. Repositories see neither:
// they read with Read and write with Write.
package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"llmhist/platform/outage"
)

// Dialect names an SQL engine.
type Dialect string

// The engines.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// sqlitePatience bounds one Read or Write on SQLite, waiting for the one writer
// and for the lock of another process included.
const sqlitePatience = 5 * time.Second

// DB is an open SQL database.
type DB struct {
	dialect Dialect
	dir     string // where the SQLite file is
	name    string // of the SQLite file, without .db
	write   *gorm.DB
	read    *gorm.DB
	whole   bool // all of it is one transaction; see Snapshot and WriteWhole
	frozen  bool // of Snapshot

	// turn is held by the one writer of SQLite. Who waits for it comes in order:
	// the pool hands its connection to any of those who wait, so that with many
	// some would wait very long.
	turn  chan struct{}
	group *group // nil but on SQLite

	memory     outage.Memory
	distrusted atomic.Int64 // connections made before, in Unix nanoseconds, are not used again
}

// OpenSQLite opens or creates the SQLite file at path. A commit is on the disk
// when Write returns. Several processes may open a new file at once.
func OpenSQLite(ctx context.Context, path string, logger *slog.Logger) (*DB, error) {
	for deadline := time.Now().Add(sqlitePatience); ; {
		db, err := openSQLite(ctx, path, logger)
		if !isBusy(err) || time.Now().After(deadline) {
			return db, err
		}
		select { // a file that changes to WAL answers busy at once, whatever busy_timeout says
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func openSQLite(ctx context.Context, path string, logger *slog.Logger) (*DB, error) {
	write, read, err := openSQLiteTwice(path, logger)
	if err != nil {
		return nil, openFailed(path, err)
	}
	db := &DB{
		dialect: SQLite, dir: filepath.Dir(path), name: strings.TrimSuffix(filepath.Base(path), ".db"),
		write: write, read: read, turn: make(chan struct{}, 1),
	}
	db.group = &group{path: path, turn: db.turn, writers: pool(write)}
	pool(write).SetMaxOpenConns(1)
	pool(write).SetMaxIdleConns(1)
	readers := max(4, runtime.GOMAXPROCS(0)*2)
	pool(read).SetMaxOpenConns(readers)
	pool(read).SetMaxIdleConns(readers)
	if err := errors.Join(db.watch(write), db.watch(read), db.Ping(ctx)); err != nil {
		_ = db.Close()
		return nil, openFailed(path, err)
	}
	return db, nil
}

// openSQLiteTwice opens the pool that writes and the one that reads. Both read the
// whole schema, and at once when there is one: of two that make a new file, one
// would be told that it is busy.
func openSQLiteTwice(path string, logger *slog.Logger) (write, read *gorm.DB, err error) {
	var errWrite, errRead error
	var group sync.WaitGroup
	group.Go(func() { write, errWrite = openGORM(sqlite.Open(sqliteDSN(path, "_txlock=immediate")), logger) })
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		group.Wait()
	}
	read, errRead = openGORM(sqlite.Open(sqliteDSN(path, "_pragma=query_only(1)")), logger)
	group.Wait()
	if err := cmp.Or(errWrite, errRead); err != nil {
		for opened, failed := range map[*gorm.DB]error{write: errWrite, read: errRead} {
			if failed == nil {
				_ = closeGORM(opened)
			}
		}
		return nil, nil, err
	}
	return write, read, nil
}

func openFailed(path string, err error) error {
	if isUnreadable(err) {
		return fmt.Errorf("%s is damaged or no SQLite database: restore a backup of it, or set another DATA_DIR: %w", path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// sqliteDSN sets on every connection what the durability promise rests on: with
// synchronous=NORMAL a power cut would lose acknowledged commits.
func sqliteDSN(path, extra string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	file := url.URL{Scheme: "file", Path: absolute}
	return file.String() + fmt.Sprintf("?_pragma=busy_timeout(%d)", sqlitePatience.Milliseconds()) +
		"&_pragma=" + strings.Join(sqlitePragmas, "&_pragma=") + "&" + extra
}

var sqlitePragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-4000)", "journal_size_limit(67108864)"}

// openGORM leaves preparing statements to the drivers: pgx caches them itself,
// the SQLite driver gains nothing by it, and in GORM's own cache one caller's
// cancelled context fails every other caller of the same statement.
func openGORM(dialector gorm.Dialector, logger *slog.Logger) (*gorm.DB, error) {
	return gorm.Open(dialector, &gorm.Config{
		Logger:                 quietLogger{logger},
		TranslateError:         true,
		SkipDefaultTransaction: true, // Write opens the only transactions
		DisableAutomaticPing:   true,
		NowFunc:                func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) },
	})
}

// Dialect returns which engine this is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Read returns a handle for queries, which together may take 2 s, and on
// SQLite 5 s; see Allow. After that they fail with an Unavailable fault. The
// handle holds about 1 KiB until that time is over or ctx ends: who reads often
// in long work gives each piece of it a context that ends.
func (db *DB) Read(ctx context.Context) *gorm.DB {
	if db.whole {
		return db.read.WithContext(ctx)
	}
	if err := db.asked(ctx); err != nil {
		refused := db.read.WithContext(ctx)
		_ = refused.AddError(err)
		return refused
	}
	bounded, cancel := db.bound(ctx)
	_ = cancel // bounded ends with ctx, or in time
	return db.read.WithContext(bounded)
}

// Write runs change in one transaction and returns when it is durable. When
// change returns an error, or ctx ends first, nothing of it is kept. It may take
// 2 s, and on SQLite 5 s, waiting for the writer included; see Allow. After that it fails with
// an Unavailable fault, and when the database was committing by then, nobody
// knows whether the change was kept: it is never repeated. change must use only
// the handle it is given.
func (db *DB) Write(ctx context.Context, change func(tx *gorm.DB) error) error {
	if db.frozen {
		return errSnapshot
	}
	if db.whole {
		return change(db.write.WithContext(ctx))
	}
	if err := db.asked(ctx); err != nil {
		return err
	}
	bounded, cancel := db.bound(ctx)
	defer cancel()
	begun, err := db.transact(bounded, change)
	switch ended := ctx.Err(); {
	case ended != nil && wasEnded(err):
		return errors.Join(ended, err)
	case begun && timedOut(err) && bounded.Err() == nil: // a shorter time that change set itself
		return err
	}
	return db.outcome(bounded, err)
}

// transact makes a second attempt when the connection turned out to be broken
// before anything of change was sent. It reports whether change was begun.
func (db *DB) transact(ctx context.Context, change func(tx *gorm.DB) error) (begun bool, err error) {
	once := func(tx *gorm.DB) error { begun = true; return change(tx) }
	err = db.transactOnce(ctx, once)
	if !begun && lostConnection(err) && db.dialect != SQLite {
		db.distrust()
		err = db.transactOnce(ctx, once)
	}
	return begun, err
}

func (db *DB) transactOnce(ctx context.Context, change func(tx *gorm.DB) error) error {
	write := db.write.WithContext(ctx)
	if db.dialect != SQLite {
		return write.Transaction(change)
	}
	select {
	case db.turn <- struct{}{}:
		defer func() { <-db.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return write.Connection(func(tx *gorm.DB) error {
		// SQLite does not look at ctx while it waits for another process.
		left := sqlitePatience
		if deadline, ok := ctx.Deadline(); ok {
			left = max(0, time.Until(deadline))
		}
		wait := fmt.Sprintf("PRAGMA busy_timeout = %d", left.Milliseconds())
		if err := tx.Session(&gorm.Session{}).Exec(wait).Error; err != nil {
			return err
		}
		defer func() { // for the job queue, which has this connection next
			usual := fmt.Sprintf("PRAGMA busy_timeout = %d", sqlitePatience.Milliseconds())
			_ = tx.Session(&gorm.Session{Context: context.WithoutCancel(ctx)}).Exec(usual).Error
		}()
		return tx.Session(&gorm.Session{}).Transaction(change)
	})
}

// Handle returns the pool that writes, for migrations and maintenance.
func (db *DB) Handle() *sql.DB { return pool(db.write) }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := pool(db.write).PingContext(ctx); err != nil {
		return err
	}
	return pool(db.read).PingContext(ctx)
}

// Close closes every connection.
func (db *DB) Close() error {
	err := closeGORM(db.read)
	if db.group != nil {
		err = errors.Join(err, db.group.close())
	}
	if db.write != db.read {
		err = errors.Join(err, closeGORM(db.write))
	}
	return err
}

func pool(g *gorm.DB) *sql.DB {
	handle, err := g.DB()
	if err != nil { // only possible for a dialector without a pool
		panic(err)
	}
	return handle
}

func closeGORM(g *gorm.DB) error {
	return pool(g).Close()
}
