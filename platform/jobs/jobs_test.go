package jobs

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// TestMain finds goroutines without an end. GORM's own statement cache has one
// for each database.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// log is a log that a test reads while it is written.
type log struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.data.String()
}

// start runs jobs until the returned stop or the end of the test.
func start(t *testing.T, db *database.DB, to *log, list ...Job) (stop func()) {
	t.Helper()
	r, err := New(db, slog.New(slog.NewTextHandler(to, nil)), list)
	if err != nil {
		t.Fatal(err)
	}
	r.retry = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 60 s: " + what)
		}
	}
}

func every(d time.Duration, name string, run func(ctx context.Context) error) Job {
	return Job{Name: name, Every: d, Timeout: d - d/10, Run: run}
}

// periodsDone returns for which periods a job was put in the queue and done.
func periodsDone(t *testing.T, db *database.DB) []time.Time {
	t.Helper()
	var list []time.Time
	err := db.Read(t.Context()).Table("river_job").Where("state = 'completed'").Order("scheduled_at").Pluck("scheduled_at", &list).Error
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAJobIsDoneOnceInEachPeriodOverAllProcesses(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var runs atomic.Int32
		var to log
		stops := []func(){}
		for range 3 {
			stops = append(stops, start(t, db, &to, every(time.Second, "count", func(context.Context) error { runs.Add(1); return nil })))
		}
		eventually(t, "six periods have passed", func() bool { return runs.Load() >= 6 })
		for _, stop := range stops {
			stop()
		}
		list := periodsDone(t, db)
		for i, period := range list {
			if i > 0 && !period.After(list[i-1]) || !period.Equal(period.Truncate(time.Second)) {
				t.Errorf("two runs of one period: %v", list)
			}
		}
		if int(runs.Load()) != len(list) || to.String() != "" {
			t.Errorf("%d runs for %d periods, logged %s", runs.Load(), len(list), to.String())
		}
	})
}

func TestAnotherProcessGoesOnWhenTheElectedOneStops(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var one, two atomic.Int32
		var to log
		stop := start(t, db, &to, every(time.Second, "count", func(context.Context) error { one.Add(1); return nil }))
		eventually(t, "the first works", func() bool { return one.Load() > 0 })
		start(t, db, &to, every(time.Second, "count", func(context.Context) error { two.Add(1); return nil }))
		stop()
		eventually(t, "the second works", func() bool { return two.Load() > 1 })
	})
}

func TestAFailureIsLoggedOnceAndTheNextPeriodTriesAgain(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var runs atomic.Int32
		var to log
		start(t, db, &to, every(time.Second, "fragile", func(context.Context) error {
			switch runs.Add(1) {
			case 1:
				return errors.New("it broke")
			case 2:
				panic("it fell over")
			}
			return nil
		}))
		eventually(t, "it is tried again", func() bool { return runs.Load() >= 3 })
		text := to.String()
		if strings.Count(text, "\n") != 2 || strings.Count(text, "job=fragile") != 2 || !strings.Contains(text, "it broke") || !strings.Contains(text, "it fell over") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestAStopCutsARunOffAndSaysNothing(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		began := make(chan struct{}, 8)
		var to log
		stop := start(t, db, &to, every(5*time.Second, "long", func(ctx context.Context) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}))
		<-began
		at := time.Now()
		if stop(); time.Since(at) > 5*time.Second || to.String() != "" {
			t.Errorf("it took %s, logged %s", time.Since(at), to.String())
		}
	})
}

func TestARunThatTakesTooLongIsCutOff(t *testing.T) {
	db := testkit.SQLite(t)
	var to log
	start(t, db, &to, Job{Name: "long", Every: time.Second, Timeout: 100 * time.Millisecond, Run: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	eventually(t, "it is logged", func() bool { return strings.Contains(to.String(), "deadline") })
}

func TestAJobThatCouldOverlapItselfIsRefused(t *testing.T) {
	db := testkit.SQLite(t)
	for name, list := range map[string][]Job{
		"a timeout of the whole period": {{Name: "a1", Every: time.Second, Timeout: time.Second, Run: func(context.Context) error { return nil }}},
		"one name twice": {
			every(time.Second, "a1", func(context.Context) error { return nil }), every(time.Minute, "a1", func(context.Context) error { return nil }),
		},
	} {
		if _, err := New(db, testkit.Logger(), list); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPeriodsThatPassedAreNotCaughtUp(t *testing.T) {
	now := time.Now()
	next := aligned(time.Minute).Next(now.Add(-10 * time.Hour))
	if !next.After(now) || next.Sub(now) > time.Minute+early || !next.Equal(next.Truncate(time.Minute).Add(early)) {
		t.Errorf("after ten hours the next is %s from now", next.Sub(now))
	}
	if soon := now.Truncate(time.Minute).Add(10 * time.Minute); !aligned(time.Minute).Next(soon).Equal(soon.Add(time.Minute + early)) {
		t.Error("a multiple is followed by itself")
	}
}

// TestTheTablesAreRiversOwn compares our migration with what River's own make.
func TestTheTablesAreRiversOwn(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, ours *database.DB) {
		validate(t, ours)
		theirs := empty(t, ours.Dialect())
		migrator, err := rivermigrate.New(driver(theirs), &rivermigrate.Config{Logger: testkit.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
			t.Fatal(err)
		}
		want, got := shape(t, theirs), shape(t, ours)
		if len(want) < 20 {
			t.Fatalf("only %d facts were read", len(want))
		}
		for fact := range want {
			if !got[fact] {
				t.Errorf("missing: %s", fact)
			}
		}
		for fact := range got {
			if !want[fact] {
				t.Errorf("not River's: %s", fact)
			}
		}
	})
}

func validate(t *testing.T, db *database.DB) {
	t.Helper()
	migrator, err := rivermigrate.New(driver(db), &rivermigrate.Config{Logger: testkit.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	result, err := migrator.Validate(t.Context(), nil)
	if err != nil || !result.OK {
		t.Errorf("River finds missing: %+v, %v", result, err)
	}
}

// empty opens a database without any table.
func empty(t *testing.T, dialect database.Dialect) (db *database.DB) {
	t.Helper()
	var err error
	if dialect == database.SQLite {
		db, err = database.OpenSQLite(t.Context(), t.TempDir()+"/empty.db", testkit.Logger())
	} else {
		db, err = database.OpenPostgres(t.Context(), testkit.PostgresURL(t), testkit.Logger())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// shape returns what there is to know about River's tables.
func shape(t *testing.T, db *database.DB) map[string]bool {
	t.Helper()
	query := `SELECT m.name || ' ' || c.name || ' ' || LOWER(c.type) || ' ' || c."notnull" || ' ' || c.pk || ' ' || COALESCE(LOWER(c.dflt_value), '-')
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name LIKE 'river%'
		UNION ALL SELECT tbl_name || ' ' || sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE 'river%'
		UNION ALL SELECT name || ' checks ' || (LENGTH(sql) - LENGTH(REPLACE(UPPER(sql), 'CHECK', ''))) FROM sqlite_master WHERE type = 'table' AND name LIKE 'river%'
		UNION ALL SELECT name || ' autoincrement' FROM sqlite_master WHERE type = 'table' AND name LIKE 'river%' AND UPPER(sql) LIKE '%AUTOINCREMENT%'`
	if db.Dialect() == database.Postgres {
		query = `SELECT table_name || ' ' || column_name || ' ' || udt_name || ' ' || is_nullable || ' ' || COALESCE(column_default, '-') || ' ' || COALESCE(character_maximum_length, 0)
			FROM information_schema.columns WHERE table_name LIKE 'river%'
			UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'river%'
			UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'river%'
			UNION ALL SELECT relname || ' ' || relpersistence::text FROM pg_class WHERE relname LIKE 'river%' AND relkind = 'r'
			UNION ALL SELECT 'enum ' || string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum
			UNION ALL SELECT proname || ' ' || provolatile::text FROM pg_proc WHERE proname LIKE 'river%'`
	}
	var facts []string
	if err := db.Read(t.Context()).Raw(query).Scan(&facts).Error; err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, fact := range facts {
		fact = strings.ReplaceAll(fact, "river_migration_pkey1", "river_migration_pkey") // named anew when River renamed the table
		set[strings.Join(strings.Fields(fact), " ")] = true
	}
	return set
}

// gate is the way to PostgreSQL, which a test closes.
type gate struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	closed   bool
	conns    []net.Conn
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: listener, target: target}
	t.Cleanup(func() { _ = listener.Close(); g.set(true) })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go g.pass(client)
		}
	}()
	return g
}

func (g *gate) pass(client net.Conn) {
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = client.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, client, server)
	if g.closed {
		_, _ = client.Close(), server.Close()
	}
	g.mu.Unlock()
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	_, _ = io.Copy(client, server)
	_ = client.Close()
}

func (g *gate) set(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed = closed; closed {
		for _, conn := range g.conns {
			_ = conn.Close()
		}
		g.conns = nil
	}
}

func TestJobsGoOnWhenPostgreSQLComesBack(t *testing.T) {
	address, err := url.Parse(testkit.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	way := newGate(t, address.Host)
	address.Host = way.listener.Addr().String()
	db, err := database.OpenPostgres(t.Context(), address.String(), testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(t.Context(), migrations.Files); err != nil {
		t.Fatal(err)
	}
	way.set(true) // it is away when the runner starts, and once more later
	var runs atomic.Int32
	var to log
	stop := start(t, db, &to, every(time.Second, "count", func(context.Context) error { runs.Add(1); return nil }))
	defer stop()
	eventually(t, "the wait is logged", func() bool { return strings.Contains(to.String(), "wait for the database") })
	way.set(false)
	eventually(t, "it begins", func() bool { return runs.Load() > 0 })
	way.set(true)
	eventually(t, "it is noticed", func() bool { return db.Ping(t.Context()) != nil })
	time.Sleep(3 * time.Second) // the length of the outage, so that several attempts fail
	before := runs.Load()
	way.set(false)
	eventually(t, "it goes on", func() bool { return runs.Load() > before+1 })
}

func TestTheElectedProcessOfAFileStaysSoWithoutWriting(t *testing.T) {
	db := testkit.SQLite(t)
	term := &riverdriver.LeaderReelectParams{ElectedAt: time.Now(), LeaderID: "own", TTL: time.Minute}
	leader, err := driver(db).GetExecutor().LeaderAttemptReelect(t.Context(), term)
	if err != nil || leader.LeaderID != "own" || !leader.ElectedAt.Equal(term.ElectedAt) || time.Until(leader.ExpiresAt) < 50*time.Second {
		t.Errorf("%+v, %v", leader, err)
	}
	var rows int64
	if err := db.Read(t.Context()).Table("river_leader").Count(&rows).Error; err != nil || rows != 0 {
		t.Errorf("%d rows were written, %v", rows, err)
	}
}

func TestTheTableOfJobsIsBounded(t *testing.T) {
	db := testkit.SQLite(t)
	err := db.Write(t.Context(), func(tx *gorm.DB) error {
		for _, state := range []string{"completed", "discarded"} {
			err := tx.Exec(`INSERT INTO river_job (kind, state, finalized_at) VALUES ('periodic', ?, '2020-01-01 00:00:00')`, state).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var to log
	start(t, db, &to, every(time.Minute, "count", func(context.Context) error { return nil }))
	eventually(t, "old jobs are gone", func() bool {
		var count sql.NullInt64
		err := db.Read(t.Context()).Raw("SELECT COUNT(*) FROM river_job WHERE finalized_at < '2021-01-01'").Scan(&count).Error
		return err == nil && count.Int64 == 0
	})
}
