package database_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

const (
	makeNotes  = "CREATE TABLE notes (id TEXT PRIMARY KEY, number BIGINT NOT NULL, good BOOLEAN NOT NULL, said TEXT, at %s NOT NULL)"
	insertNote = "INSERT INTO notes (id, number, good, said, at) VALUES (?, ?, ?, ?, ?)"
	countNotes = "SELECT COUNT(*) FROM notes"
)

// withNotes runs a test on each engine that is there.
func withNotes(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Run("sqlite", func(t *testing.T) {
		db := testkit.SQLite(t)
		makeTable(t, db, "DATETIME")
		test(t, db)
	})
	t.Run("postgres", func(t *testing.T) {
		db := testkit.Postgres(t)
		makeTable(t, db, "TIMESTAMPTZ")
		test(t, db)
	})
}

func makeTable(t *testing.T, db *database.DB, timeType string) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(fmt.Sprintf(makeNotes, timeType)).Error })
	if err != nil {
		t.Fatal(err)
	}
}

func note(id string) func(tx database.Statements) error {
	return func(tx database.Statements) error {
		_, err := tx.Exec(insertNote, id, int64(len(id)), true, nil, time.Now().UTC())
		return err
	}
}

func numberOf(t *testing.T, db *database.DB, query string, args ...any) (number int64) {
	t.Helper()
	if err := db.Read(t.Context()).Raw(query, args...).Scan(&number).Error; err != nil {
		t.Fatal(err)
	}
	return number
}

func TestAGroupedWriteStoresWhatAnyOtherDoes(t *testing.T) {
	withNotes(t, func(t *testing.T, db *database.DB) {
		at := time.Now().UTC().Truncate(time.Millisecond)
		err := db.WriteGrouped(t.Context(), func(tx database.Statements) error {
			for id, said := range map[string]any{"a": "ü \x01 'quoted'", "b": nil} {
				if changed, err := tx.Exec(insertNote, id, int64(1)<<40, id == "a", said, at); changed != 1 || err != nil {
					return fmt.Errorf("%d rows changed: %w", changed, err)
				}
			}
			if changed, err := tx.Exec("UPDATE notes SET number = 1 WHERE id = ?", "nobody"); changed != 0 || err != nil {
				return fmt.Errorf("%d rows changed: %w", changed, err)
			}
			if number, err := tx.Int("UPDATE notes SET number = number + ? WHERE id = ? RETURNING number", int64(2), "a"); number != 1<<40+2 || err != nil {
				return fmt.Errorf("returned %d: %w", number, err)
			}
			if _, err := tx.Int("SELECT number FROM notes WHERE id = ?", "nobody"); !database.IsNotFound(err) {
				return fmt.Errorf("no row: %w", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct {
			ID     string
			Number int64
			Good   bool
			Said   *string
			At     time.Time
		}
		if err := db.Read(t.Context()).Raw("SELECT * FROM notes ORDER BY id").Scan(&rows).Error; err != nil || len(rows) != 2 {
			t.Fatalf("%+v, %v", rows, err)
		}
		a, b := rows[0], rows[1]
		if a.Number != 1<<40+2 || !a.Good || a.Said == nil || *a.Said != "ü \x01 'quoted'" || !a.At.Equal(at) || b.Good || b.Said != nil {
			t.Errorf("%+v", rows)
		}
	})
}

// atOnce begins the acts while the writer is held, so that SQLite does them in
// one group.
func atOnce(t *testing.T, db *database.DB, acts []func(tx database.Statements) error) []error {
	t.Helper()
	errs := make([]error, len(acts))
	var all sync.WaitGroup
	err := db.Write(t.Context(), func(*gorm.DB) error {
		for i, act := range acts {
			all.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						errs[i] = fmt.Errorf("panic: %v", r)
					}
				}()
				errs[i] = db.WriteGrouped(t.Context(), act)
			})
		}
		time.Sleep(50 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	return errs
}

func TestEachActOfAGroupSucceedsOrFailsForItself(t *testing.T) {
	withNotes(t, func(t *testing.T, db *database.DB) {
		broken := errors.New("broken")
		errs := atOnce(t, db, []func(tx database.Statements) error{
			note("a"), note("b"),
			func(tx database.Statements) error { return errors.Join(note("c")(tx), broken) },
			func(tx database.Statements) error { _ = note("d")(tx); panic("a bug") },
			func(tx database.Statements) error { return errors.Join(note("e")(tx), note("e")(tx)) },
			note("f"),
		})
		for i, failed := range []bool{false, false, true, true, true, false} {
			if (errs[i] != nil) != failed {
				t.Errorf("act %d: %v", i, errs[i])
			}
		}
		if !errors.Is(errs[2], broken) || errs[3] == nil || errs[3].Error() != "panic: a bug" || !database.IsDuplicate(errs[4]) {
			t.Errorf("%v", errs)
		}
		if kept := numberOf(t, db, countNotes+" WHERE id IN ('a', 'b', 'f')"); kept != 3 || numberOf(t, db, countNotes) != 3 {
			t.Errorf("%d of 3 kept, %d in all", kept, numberOf(t, db, countNotes))
		}
	})
}

func TestGroupsAreNotPromisedAfterTrouble(t *testing.T) {
	withNotes(t, func(t *testing.T, db *database.DB) {
		groups := db.Dialect() == database.SQLite
		if db.Groups() != groups {
			t.Fatalf("Groups: %v", db.Groups())
		}
		refused := errors.New("refused")
		for _, each := range []struct {
			act    func(tx database.Statements) error
			groups bool
		}{
			{note("a"), groups},
			{note("a"), groups}, // a duplicate is its act's own fault
			{func(database.Statements) error { return refused }, groups},
			{func(tx database.Statements) error { _, err := tx.Exec("INSERT INTO nothing VALUES (1)"); return err }, false},
			{note("b"), groups},
		} {
			_ = db.WriteGrouped(t.Context(), each.act)
			if db.Groups() != each.groups {
				t.Errorf("Groups: %v", db.Groups())
			}
		}
	})
}

func TestMoreActsThanOneGroupTakesAreAllDone(t *testing.T) {
	withNotes(t, func(t *testing.T, db *database.DB) {
		acts := make([]func(tx database.Statements) error, 600)
		for i := range acts {
			acts[i] = note(fmt.Sprint(i))
		}
		for i, err := range atOnce(t, db, acts) {
			if err != nil {
				t.Fatalf("act %d: %v", i, err)
			}
		}
		if kept := numberOf(t, db, countNotes); kept != 600 {
			t.Errorf("%d of 600 kept", kept)
		}
	})
}

func TestWhoLeavesBeforeAGroupedWriteWritesNothing(t *testing.T) {
	withNotes(t, func(t *testing.T, db *database.DB) {
		ended, end := context.WithCancel(t.Context())
		end()
		if err := db.WriteGrouped(ended, note("a")); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that had ended: %v", err)
		}
		if db.Dialect() == database.SQLite { // PostgreSQL has many writers
			leaving, leave := context.WithCancel(t.Context())
			left := make(chan error)
			err := db.Write(t.Context(), func(*gorm.DB) error {
				go func() { left <- db.WriteGrouped(leaving, note("b")) }()
				time.Sleep(20 * time.Millisecond)
				leave()
				if err := <-left; !errors.Is(err, context.Canceled) {
					t.Errorf("that left while it waited: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := db.WriteGrouped(t.Context(), note("c")); err != nil {
			t.Fatal(err)
		}
		if kept := numberOf(t, db, countNotes); kept != 1 {
			t.Errorf("%d kept, want the one that did not leave", kept)
		}
	})
}

// openTwice opens one SQLite file as two processes would.
func openTwice(t *testing.T) (db, other *database.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "llmhist.db")
	open := func() *database.DB {
		db, err := database.OpenSQLite(t.Context(), path, testkit.Logger())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	db, other = open(), open()
	makeTable(t, db, "DATETIME")
	return db, other
}

func TestTheLockOfAnotherProcessIsWaitedForAsLongAsEachActMay(t *testing.T) {
	db, other := openTwice(t)
	if err := db.WriteGrouped(t.Context(), note("before")); err != nil {
		t.Fatal(err)
	}
	short, long := make(chan error, 1), make(chan error, 1)
	err := other.Write(t.Context(), func(*gorm.DB) error {
		held, err := db.Handle().Conn(t.Context()) // until both wait, for one group
		if err != nil {
			return err
		}
		hasty, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		go func() { short <- db.WriteGrouped(hasty, note("short")) }()
		time.Sleep(50 * time.Millisecond)
		go func() { long <- db.WriteGrouped(t.Context(), note("long")) }()
		time.Sleep(50 * time.Millisecond)
		if err := held.Close(); err != nil {
			return err
		}
		if err := <-short; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that waits no longer: %v", err)
		}
		time.Sleep(300 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-long; err != nil {
		t.Errorf("one that had the time: %v", err)
	}
	if kept := numberOf(t, db, countNotes+" WHERE id IN ('before', 'long')"); kept != 2 || numberOf(t, db, countNotes) != 2 {
		t.Errorf("%d kept of 2, %d in all", kept, numberOf(t, db, countNotes))
	}
}

func TestALockThatIsNotLetGoIsTrouble(t *testing.T) {
	db, other := openTwice(t)
	err := other.Write(t.Context(), func(tx *gorm.DB) error {
		hasty, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := db.WriteGrouped(hasty, note("a")); err == nil {
			t.Error("written beside the lock of another process")
		}
		for until := time.Now().Add(5 * time.Second); db.Groups() && time.Now().Before(until); {
			time.Sleep(time.Millisecond) // its caller leaves before the lock was waited for
		}
		return tx.Exec("DELETE FROM notes").Error
	})
	if err != nil || db.Groups() {
		t.Errorf("Groups: %v, %v", db.Groups(), err)
	}
	if err := db.WriteGrouped(t.Context(), note("a")); err != nil || !db.Groups() {
		t.Errorf("Groups: %v, %v", db.Groups(), err)
	}
}

// The job queue writes through the pool, without a turn. It waits there in order,
// and does not poll for SQLite's lock, which a busy server would take again first.
func TestTheJobQueueWaitsForAGroupInThePool(t *testing.T) {
	db := testkit.SQLite(t)
	makeTable(t, db, "DATETIME")
	connect := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		conn, err := db.Handle().Conn(ctx)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	err := db.WriteGrouped(t.Context(), func(tx database.Statements) error {
		if err := connect(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside a group: %v", err)
		}
		return note("a")(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	within := time.Now().Add(time.Second)
	for err = connect(); err != nil && time.Now().Before(within); err = connect() {
		t.Log(err) // the group gives the connection back after its callers were told
	}
	if err != nil {
		t.Error(err)
	}
	var left int
	if err := db.Handle().QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&left); err != nil || left != 5000 {
		t.Errorf("it would wait %d ms for another process (%v)", left, err)
	}
}

func TestTheConnectionOfGroupedWritesIsAsDurableAsTheOthers(t *testing.T) {
	db := testkit.SQLite(t)
	err := db.WriteGrouped(t.Context(), func(tx database.Statements) error {
		for query, want := range map[string]int64{"PRAGMA synchronous": 2, "PRAGMA foreign_keys": 1, "PRAGMA cache_size": -4000} {
			if got, err := tx.Int(query); got != want || err != nil {
				t.Errorf("%s is %d, want %d (%v)", query, got, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
