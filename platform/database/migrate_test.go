package database_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// steps makes migrations of both dialects from the text of each.
func steps(texts ...string) fs.FS {
	files := fstest.MapFS{}
	for i, text := range texts {
		for _, dialect := range []string{"sqlite", "postgres"} {
			files[fmt.Sprintf("%s/%05d_step.sql", dialect, i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text + "\n-- +goose Down\nSELECT 1;\n")}
		}
	}
	return files
}

const (
	makeBirds = "CREATE TABLE birds (id INTEGER PRIMARY KEY); INSERT INTO birds VALUES (1);"
	makeNests = "CREATE TABLE nests (id INTEGER PRIMARY KEY);"
	makeEggs  = "CREATE TABLE eggs (id INTEGER PRIMARY KEY); -- CREATE TABLE never (id INTEGER);"
)

// store is where a database is, so that several handles and processes can open
// it.
type store struct {
	dialect database.Dialect
	where   string
}

func (s store) open(t testing.TB) *database.DB {
	t.Helper()
	var db *database.DB
	var err error
	if s.dialect == database.SQLite {
		db, err = database.OpenSQLite(context.Background(), s.where, testkit.Logger())
	} else {
		db, err = database.OpenPostgres(context.Background(), s.where, testkit.Logger())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// eachStore runs test on an empty database of every engine.
func eachStore(t *testing.T, test func(t *testing.T, s store)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, store{database.SQLite, filepath.Join(t.TempDir(), "test.db")})
	})
	t.Run("postgres", func(t *testing.T) { test(t, store{database.Postgres, testkit.PostgresURL(t)}) })
}

func execute(t testing.TB, db *database.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Handle().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func migrate(t testing.TB, db *database.DB, files fs.FS, want int) {
	t.Helper()
	if n, err := db.Migrate(t.Context(), files); err != nil || n != want {
		t.Fatalf("%d migrations were applied, want %d (%v)", n, want, err)
	}
}

// states writes what Migrations says, such as "1 applied, 2 pending".
func states(t testing.TB, db *database.DB, files fs.FS) string {
	t.Helper()
	list, _ := db.Migrations(t.Context(), files)
	parts := []string{}
	for _, one := range list {
		parts = append(parts, fmt.Sprintf("%d %s", one.Version, one.State))
	}
	return strings.Join(parts, ", ")
}

func TestASchemaThatIsNotOursOrNotWholeIsRefusedUnchanged(t *testing.T) {
	all := steps(makeBirds, makeNests, makeEggs)
	for name, test := range map[string]struct {
		files   fs.FS // applied first; nil = none
		damage  []string
		want    error
		says    string
		becomes string
	}{
		"a newer schema":                 {steps(makeBirds, makeNests, makeEggs, "CREATE TABLE later (id INTEGER);"), nil, database.ErrNewerSchema, "database 4, binary 3", "1 applied, 2 applied, 3 applied, 4 unknown"},
		"a record that is missing":       {all, []string{"DELETE FROM goose_db_version WHERE version_id = 2"}, database.ErrBrokenSchema, "00002_step.sql is not recorded", "1 applied, 2 missing, 3 applied"},
		"a table that is missing":        {all, []string{"DROP TABLE nests"}, database.ErrBrokenSchema, "its table nests is not there", "1 applied, 2 damaged, 3 applied"},
		"another program's tables":       {nil, []string{"CREATE TABLE wp_posts (id INTEGER)"}, database.ErrForeignDatabase, "the table wp_posts", "1 pending, 2 pending, 3 pending"},
		"a lost record":                  {all, []string{"DROP TABLE goose_db_version"}, database.ErrForeignDatabase, "birds, eggs, nests", "1 pending, 2 pending, 3 pending"},
		"a record that was emptied":      {all, []string{"DELETE FROM goose_db_version"}, database.ErrForeignDatabase, "no record", "1 pending, 2 pending, 3 pending"},
		"only the first row recorded":    {all, []string{"DELETE FROM goose_db_version WHERE version_id > 0"}, database.ErrForeignDatabase, "no record", "1 pending, 2 pending, 3 pending"},
		"another program's record":       {steps("CREATE TABLE a (id INTEGER);", "CREATE TABLE b (id INTEGER);"), nil, database.ErrForeignDatabase, "none of this program's tables", "1 damaged, 2 damaged, 3 pending"},
		"another program's long record":  {steps("SELECT 1;", "SELECT 1;", "SELECT 1;", "SELECT 1;"), nil, database.ErrForeignDatabase, "none of this program's tables", "1 damaged, 2 damaged, 3 damaged, 4 unknown"},
		"a record from another branch":   {all, []string{"DELETE FROM goose_db_version WHERE version_id > 1", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (-2, TRUE)"}, database.ErrBrokenSchema, "migration -2, which this release does not have", "-2 unknown, 1 applied, 2 pending, 3 pending"},
		"a table of an older half state": {steps(makeBirds, makeNests), []string{"DROP TABLE birds"}, database.ErrBrokenSchema, "birds", "1 damaged, 2 applied, 3 pending"},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store) {
				db := s.open(t)
				if test.files != nil {
					if _, err := db.Migrate(t.Context(), test.files); err != nil {
						t.Fatal(err)
					}
				}
				execute(t, db, test.damage...)
				if got := states(t, db, all); got != test.becomes {
					t.Errorf("the state is %q, want %q", got, test.becomes)
				}
				called := false
				n, err := db.Migrate(t.Context(), all, func(context.Context, database.Change) error { called = true; return nil })
				if n != 0 || called || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%d applied, a copy was made: %v, error: %v", n, called, err)
				}
				if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "estore")) {
					t.Errorf("it is not one line that says what to do: %v", err)
				}
				if got := states(t, db, all); got != test.becomes {
					t.Errorf("the refusal changed the state to %q", got)
				}
				_, checked := db.CheckSchema(t.Context(), all)
				if !errors.Is(checked, test.want) {
					t.Errorf("CheckSchema: %v", checked)
				}
			})
		})
	}
}

func TestLookingAtAnEmptyDatabaseWritesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		db, files := s.open(t), steps(makeBirds, makeNests)
		schema, err := db.CheckSchema(t.Context(), files)
		if err != nil || schema != (database.Schema{Version: 0, Target: 2, Pending: 2}) {
			t.Errorf("%+v, %v", schema, err)
		}
		if got := states(t, db, files); got != "1 pending, 2 pending" {
			t.Errorf("the state is %q", got)
		}
		execute(t, db, "CREATE TABLE goose_db_version (id INTEGER)") // it would exist
	})
}

func TestTablesThatMigrationsDropOrRenameAreNotMissed(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		files := steps(makeBirds, makeNests,
			`CREATE TABLE new_birds (id INTEGER PRIMARY KEY, name TEXT);
			 DROP TABLE birds;
			 ALTER TABLE new_birds RENAME TO birds;
			 ALTER TABLE nests RENAME TO homes;
			 DROP TABLE IF EXISTS nests;`)
		db := s.open(t)
		migrate(t, db, files, 3)
		if got := states(t, db, files); got != "1 applied, 2 applied, 3 applied" {
			t.Errorf("the state is %q", got)
		}
		execute(t, db, "DROP TABLE homes")
		if _, err := db.CheckSchema(t.Context(), files); !errors.Is(err, database.ErrBrokenSchema) {
			t.Errorf("a renamed table that is gone: %v", err)
		}
	})
}

func TestTablesBesideOursAreNoReasonToRefuse(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		db := s.open(t)
		migrate(t, db, steps(makeBirds), 1)
		execute(t, db, "CREATE TABLE work_queue (id INTEGER)")
		migrate(t, db, steps(makeBirds, makeNests), 1)
	})
}

func TestAFailedMigrationLeavesWhatWasThereAndTheNextStartGoesOn(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		db := s.open(t)
		n, err := db.Migrate(t.Context(), steps(makeBirds, makeNests+" INSERT INTO nowhere VALUES (1);"))
		if err == nil || n != 1 || !strings.Contains(err.Error(), "from version 0 to 2") {
			t.Fatalf("%d, %v", n, err)
		}
		files := steps(makeBirds, makeNests)
		if got := states(t, db, files); got != "1 applied, 2 pending" {
			t.Fatalf("the state is %q", got)
		}
		migrate(t, db, files, 1)
	})
}

// slow is a statement that takes a few seconds and touches no table.
var slow = map[database.Dialect]string{
	database.SQLite:   "SELECT COUNT(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 60000000) SELECT i FROM n);",
	database.Postgres: "SELECT pg_sleep(3);",
}

const childDialect, childStore = "LLMHIST_TEST_MIGRATE_DIALECT", "LLMHIST_TEST_MIGRATE_STORE"

// TestMain migrates slowly instead of testing in the child process that
// TestAProcessKilledInAMigration starts.
func TestMain(m *testing.M) {
	if os.Getenv(childStore) != "" {
		migrateSlowly()
		return
	}
	os.Exit(m.Run())
}

func migrateSlowly() {
	s := store{database.Dialect(os.Getenv(childDialect)), os.Getenv(childStore)}
	open := database.OpenPostgres
	if s.dialect == database.SQLite {
		open = database.OpenSQLite
	}
	db, err := open(context.Background(), s.where, testkit.Logger())
	if err == nil {
		_, err = db.Migrate(context.Background(), steps(makeBirds, makeNests+"\n"+slow[s.dialect]+"\n"+makeEggs), func(context.Context, database.Change) error {
			fmt.Println("it begins")
			return nil
		})
	}
	fmt.Println("it ended:", err)
}

// inMigration reports whether another process is in the middle of the slow
// step.
func inMigration(t *testing.T, s store) bool {
	t.Helper()
	if s.dialect == database.Postgres {
		db := s.open(t)
		var running int
		err := db.Handle().QueryRowContext(t.Context(),
			"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%'").Scan(&running)
		if err != nil {
			t.Fatal(err)
		}
		return running > 0
	}
	// Impatient: the write lock is held from the first statement to the commit.
	handle, err := sql.Open("sqlite", "file:"+s.where+"?_pragma=busy_timeout(0)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handle.Close() }()
	tx, err := handle.BeginTx(t.Context(), nil)
	if err == nil {
		_ = tx.Rollback()
	}
	return err != nil
}

func TestAProcessKilledInAMigrationLeavesASchemaThatTheNextStartCompletes(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		migrate(t, s.open(t), steps(makeBirds), 1)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDialect+"="+string(s.dialect), childStore+"="+s.where)
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
		lines := bufio.NewScanner(output)
		if !lines.Scan() || lines.Text() != "it begins" {
			t.Fatalf("the child says %q", lines.Text())
		}
		eventually(t, 20*time.Second, "the child is in the migration", func() bool { return inMigration(t, s) })
		if err := child.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		if lines.Scan() {
			t.Fatalf("the child was not killed in the migration: %q", lines.Text())
		}
		db, files := s.open(t), steps(makeBirds, makeNests+"\n"+makeEggs)
		if got := states(t, db, files); got != "1 applied, 2 pending" {
			t.Fatalf("after the kill the state is %q", got)
		}
		migrate(t, db, files, 1)
		execute(t, db, "INSERT INTO nests VALUES (1)", "INSERT INTO eggs VALUES (1)")
	})
}

func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("after %s it is not true that %s", within, what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}
