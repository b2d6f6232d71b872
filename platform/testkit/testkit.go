// Package testkit is what the tests of every module stand on: real engines in
// temporary places, a clock that is set by hand, and a server that knows who is
// calling without signing in.
package testkit

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver, to create databases

	"llmhist/migrations"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/uid"
)

// EachDatabase runs test on every SQL engine, migrated and empty: SQLite in a
// file, and the PostgreSQL server that TEST_DATABASE_URL names. Without that
// variable PostgreSQL is skipped, or fails when LLMHIST_TEST_ALL is set.
func EachDatabase(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// EachDatabaseBefore is EachDatabase with the schema as it was before a migration,
// of which number is how its file begins, such as "00011".
func EachDatabaseBefore(t *testing.T, number string, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	earlier := fstest.MapFS{}
	err := fs.WalkDir(migrations.Files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(file) >= number {
			return err
		}
		data, err := fs.ReadFile(migrations.Files, file)
		earlier[file] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil || len(earlier) == 0 {
		t.Fatalf("%d migrations before %s: %v", len(earlier), number, err)
	}
	t.Run("sqlite", func(t *testing.T) { test(t, migrated(t, openSQLite(t), earlier)) })
	t.Run("postgres", func(t *testing.T) { test(t, migrated(t, openPostgres(t), earlier)) })
}

// SQLite returns a migrated, empty SQLite database.
func SQLite(t testing.TB) *database.DB {
	t.Helper()
	empty, err := emptySQLite()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), sqliteFile)
	if err := os.WriteFile(file, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := database.OpenSQLite(t.Context(), file, Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

const sqliteFile = "test.db"

// emptySQLite is the file of a migrated database. It is made once: the migrations
// take longer than many tests.
var emptySQLite = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "llmhist-empty-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, sqliteFile)
	db, err := database.OpenSQLite(context.Background(), file, Logger())
	if err != nil {
		return nil, err
	}
	_, err = db.Migrate(context.Background(), migrations.Files)
	if err := errors.Join(err, db.Close()); err != nil { // which leaves all in the one file
		return nil, err
	}
	return os.ReadFile(file)
})

// Postgres returns a migrated, empty database on the PostgreSQL server of
// TEST_DATABASE_URL.
func Postgres(t testing.TB) *database.DB {
	t.Helper()
	return migrated(t, openPostgres(t), migrations.Files)
}

func openSQLite(t testing.TB) *database.DB {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), sqliteFile), Logger())
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openPostgres(t testing.TB) *database.DB {
	t.Helper()
	db, err := database.OpenPostgres(t.Context(), PostgresURL(t), Logger())
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// PostgresURL returns the address of a new, empty database on the PostgreSQL
// server of TEST_DATABASE_URL. It is dropped when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("TEST_DATABASE_URL")
	if server == "" {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal("TEST_DATABASE_URL is not set, and LLMHIST_TEST_ALL requires PostgreSQL")
		}
		t.Skip("SKIPPED: no PostgreSQL; set TEST_DATABASE_URL or use make test-all")
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("t%x", uid.New(time.Now()))[:40]
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		_ = admin.Close()
	})
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = "/" + name
	return target.String()
}

func migrated(t testing.TB, db *database.DB, steps fs.FS) *database.DB {
	t.Helper()
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context(), steps); err != nil {
		t.Fatal(err)
	}
	return db
}

// Bucket returns an empty directory bucket whose links are signed for
// http://test.invalid.
func Bucket(t testing.TB, name string) *blob.Directory {
	t.Helper()
	signer := blob.NewSigner(bytes.Repeat([]byte{7}, 32), func() string { return "http://test.invalid" }, 5*time.Minute, time.Now)
	bucket, err := blob.OpenDirectory(t.TempDir(), name, signer)
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// Logger returns a logger that writes nothing.
func Logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Clock is a clock that moves only when told to. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at 2026-11-23 10:00:00 UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

// Now returns the time it stands at.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
