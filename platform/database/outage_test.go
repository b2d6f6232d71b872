package database_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// throughProxy opens an empty PostgreSQL database through a proxy.
func throughProxy(t *testing.T) (*database.DB, *testkit.Proxy) {
	t.Helper()
	proxy, address := testkit.ProxyBefore(t, testkit.PostgresURL(t))
	db, err := database.OpenPostgres(t.Context(), address, testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec("CREATE TABLE things (id bigint)").Error }); err != nil {
		t.Fatal(err)
	}
	return db, proxy
}

func readThing(ctx context.Context, db *database.DB) error {
	var count int64
	return database.Fault(db.Read(ctx).Table("things").Count(&count).Error)
}

func writeThing(ctx context.Context, db *database.DB) error {
	return database.Fault(db.Write(ctx, func(tx *gorm.DB) error { return tx.Exec("INSERT INTO things VALUES (1)").Error }))
}

type step func(ctx context.Context, db *database.DB) error

// unavailable wants a fault that says so within 3 s, of SQLite within 6 s.
func unavailable(t *testing.T, db *database.DB, what string, do step) {
	t.Helper()
	start := time.Now()
	err := do(t.Context(), db)
	limit := 3 * time.Second
	if db.Dialect() == database.SQLite {
		limit *= 2
	}
	if took := time.Since(start); took > limit || fault.CodeOf(err) != "database_unavailable" {
		t.Errorf("a %s after %s: %v", what, took, err)
	}
}

// heals wants do to work again within 3 s.
func heals(t *testing.T, db *database.DB, what string, do step) {
	t.Helper()
	start := time.Now()
	err := do(t.Context(), db)
	for err != nil && time.Since(start) < 3*time.Second {
		err = do(t.Context(), db)
	}
	if took := time.Since(start); err != nil || took > 3*time.Second {
		t.Errorf("a %s is not back after %s: %v", what, took, err)
	}
}

func TestADatabaseInTroubleIsSaidToBeWithinThreeSecondsAndHeals(t *testing.T) {
	for _, trouble := range everyFault {
		t.Run(trouble.String(), func(t *testing.T) {
			t.Parallel()
			db, proxy := throughProxy(t)
			inParallel(40, func() { _ = readThing(t.Context(), db) }) // so that there are connections to break
			proxy.Set(trouble)
			inParallel(4, func() {
				for range 2 {
					unavailable(t, db, "read", readThing)
					unavailable(t, db, "write", writeThing)
				}
			})
			proxy.Set(testkit.Pass)
			inParallel(40, func() {
				heals(t, db, "read", readThing)
				heals(t, db, "write", writeThing)
			})
		})
	}
}

func inParallel(times int, do func()) {
	var group sync.WaitGroup
	for range times {
		group.Go(do)
	}
	group.Wait()
}

func TestConnectionsThatDiedHarmOneReadAndNoWrite(t *testing.T) {
	for name, do := range map[string]step{"read": readThing, "write": writeThing} {
		t.Run(name, func(t *testing.T) {
			db, proxy := throughProxy(t)
			inParallel(60, func() { _ = readThing(t.Context(), db) })
			if open := db.Handle().Stats().OpenConnections; open < 8 {
				t.Fatalf("only %d connections", open)
			}
			proxy.Disconnect()
			failed := 0
			for range 40 {
				if err := do(t.Context(), db); err != nil {
					failed++
				}
			}
			if allowed := map[string]int{"read": 1}[name]; failed > allowed {
				t.Errorf("%d of 40 failed, %d may", failed, allowed)
			}
		})
	}
}

func TestConnectionsThatStayDeadAreNotTriedOneByOne(t *testing.T) {
	db, proxy := throughProxy(t)
	inParallel(60, func() { _ = readThing(t.Context(), db) })
	proxy.Set(testkit.HalfOpen)
	unavailable(t, db, "read", readThing)
	proxy.Set(testkit.Pass)
	start := time.Now()
	for range 20 {
		_ = readThing(t.Context(), db)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("20 reads took %s", took)
	}
}

func TestNothingOfAnOutageIsLeft(t *testing.T) {
	proxy, address := testkit.ProxyBefore(t, testkit.PostgresURL(t))
	ignore := goleak.IgnoreCurrent()
	db, err := database.OpenPostgres(t.Context(), address, testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	proxy.Set(testkit.Hang)
	inParallel(50, func() { _ = readThing(t.Context(), db) })
	proxy.Set(testkit.Refuse)
	_ = db.Close()
	goleak.VerifyNone(t, ignore)
}

func TestWhoWaitsForAConnectionWaitsBoundedAndGoesOn(t *testing.T) {
	db, _ := throughProxy(t)
	var held []*sql.Conn
	for range db.Handle().Stats().MaxOpenConnections {
		connection, err := db.Handle().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, connection)
	}
	inParallel(30, func() {
		unavailable(t, db, "read", readThing)
		unavailable(t, db, "write", writeThing)
	})
	for _, connection := range held {
		_ = connection.Close()
	}
	heals(t, db, "read", readThing)
	heals(t, db, "write", writeThing)
}

func TestWhoWaitsForTheSQLiteWriterWaitsBoundedAndGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	db, err := database.OpenSQLite(t.Context(), path, testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec("CREATE TABLE things (id bigint)").Error }); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for name, hold := range map[string]func() (release func()){
		"in this process": func() func() {
			connection, err := db.Handle().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return func() { _ = connection.Close() }
		},
		"of another process": func() func() {
			connection, err := other.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := connection.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
			return func() {
				_, _ = connection.ExecContext(context.Background(), "ROLLBACK")
				_ = connection.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			release := hold()
			inParallel(10, func() { unavailable(t, db, "write", writeThing) })
			if err := readThing(t.Context(), db); err != nil {
				t.Errorf("a read meanwhile: %v", err)
			}
			release()
			inParallel(10, func() { heals(t, db, "write", writeThing) })
		})
	}
}

func TestWritersOfSQLiteComeInOrder(t *testing.T) {
	db := testkit.SQLite(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var order []int
	begun, goOn := make(chan struct{}), make(chan struct{})
	group.Go(func() {
		_ = db.Write(t.Context(), func(*gorm.DB) error { close(begun); <-goOn; return nil })
	})
	<-begun
	for i := range 30 {
		group.Go(func() {
			_ = db.Write(t.Context(), func(*gorm.DB) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
				return nil
			})
		})
		time.Sleep(3 * time.Millisecond) // so that it waits before the next one does
	}
	close(goOn)
	group.Wait()
	moved := 0
	for place, i := range order {
		if place != i {
			moved++
		}
	}
	if len(order) != 30 || moved > 6 { // a busy machine may wake two in the other order
		t.Errorf("they came in the order %v", order)
	}
}

func TestWhatIsAllowedToTakeLongerMay(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		start := time.Now()
		err := db.Write(database.Allow(t.Context(), 6*time.Second), func(tx *gorm.DB) error { return tx.Exec(endless).Error })
		if took := time.Since(start); took < 5900*time.Millisecond || took > 8*time.Second || fault.CodeOf(database.Fault(err)) != "database_unavailable" {
			t.Errorf("it ended after %s with %v", took, err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	db, proxy := throughProxy(t)
	proxy.Set(testkit.Hang)
	unavailable(t, db, "long read", func(ctx context.Context, db *database.DB) error {
		return readThing(database.Allow(ctx, time.Minute), db)
	})
}

func TestManyCallersOfDocumentsThatHangAllComeBackInTime(t *testing.T) {
	_, m, link := testkit.MongoThroughLink(t)
	link.Set(testkit.Hang)
	inParallel(100, func() { // more than there may be connections
		start := time.Now()
		err := insertDocument(t.Context(), m, "x")
		if took := time.Since(start); took > 3*time.Second || fault.CodeOf(err) != "documents_unavailable" {
			t.Errorf("after %s: %v", took, err)
		}
	})
	link.Set(testkit.Pass)
	start := time.Now()
	err := insertDocument(t.Context(), m, "after 0")
	for n := 1; err != nil && time.Since(start) < 3*time.Second; n++ { // nobody knows whether the one before is there
		err = insertDocument(t.Context(), m, fmt.Sprint("after ", n))
	}
	if err != nil {
		t.Errorf("not back: %v", err)
	}
}
