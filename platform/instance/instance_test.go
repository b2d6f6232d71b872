package instance

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// TestMain finds goroutines without an end. GORM's own statement cache has one
// for each database.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// quick is a lease that a test can wait for.
const quick = 400 * time.Millisecond

func self(home string) Self {
	return Self{Home: home, Host: "web-" + home, Version: "1", KeyID: "k1", TrustedKeys: []string{"k1"}}
}

// enter joins with a lease that a test can wait for.
func enter(t *testing.T, db *database.DB, self Self, log *strings.Builder) (*Instance, error) {
	t.Helper()
	logger := testkit.Logger()
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	i, err := join(t.Context(), &Instance{id: uid.New(uid.Now()), self: self, table: table{db}, logger: logger, lease: quick, every: quick / 8})
	if err == nil {
		t.Cleanup(func() { i.stop(); <-i.done })
	}
	return i, err
}

func mustEnter(t *testing.T, db *database.DB, self Self) *Instance {
	t.Helper()
	i, err := enter(t, db, self, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *Instance) mustKnow(t *testing.T, of *Instance, alive bool) {
	t.Helper()
	living, err := i.Living(t.Context())
	if err != nil || living[of.id] != alive || !living[i.id] {
		t.Errorf("living %v, want %s to be %v (%v)", living, of.id, alive, err)
	}
}

// eventually polls for what becomes true by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s: " + what)
		}
	}
}

func (i *Instance) knows(t *testing.T, id string) bool {
	living, err := i.Living(t.Context())
	return err == nil && living[id]
}

func TestAnEarlierRunOfTheSameDirectoryIsDeadAtOnce(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		crashed := mustEnter(t, db, self("a"))
		crashed.stop()
		again := mustEnter(t, db, self("a"))
		again.mustKnow(t, crashed, false)
	})
}

func TestAServerThatStopsBeatingIsDeadAfterItsLease(t *testing.T) {
	db := testkit.Postgres(t)
	one, two := mustEnter(t, db, self("a")), mustEnter(t, db, self("b"))
	one.mustKnow(t, two, true)
	eventually(t, "the first may judge", one.steady)
	one.mustKnow(t, two, true) // it goes on beating
	two.stop()
	<-two.done
	one.mustKnow(t, two, true)
	eventually(t, "the second is dead", func() bool { return !one.knows(t, two.id) })
	if err := two.beat(t.Context()); err != nil { // a machine that was only asleep
		t.Fatal(err)
	}
	one.mustKnow(t, two, true)
}

func TestAServerThatLeavesIsGoneAtOnce(t *testing.T) {
	db := testkit.Postgres(t)
	one, two := mustEnter(t, db, self("a")), mustEnter(t, db, self("b"))
	if err := two.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	one.mustKnow(t, two, false)
}

func TestAServerThatHasOnlyBegunDeclaresNobodyDead(t *testing.T) {
	db := testkit.Postgres(t)
	old := mustEnter(t, db, self("a"))
	old.stop()
	<-old.done
	err := db.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec("UPDATE instances SET seen_at = seen_at - interval '1 hour'").Error
	})
	if err != nil {
		t.Fatal(err)
	}
	fresh := mustEnter(t, db, self("b"))
	fresh.mustKnow(t, old, true)
	eventually(t, "it is dead after a lease", func() bool { return !fresh.knows(t, old.id) })
}

func TestAfterAnOutageOfTheDatabaseNobodyIsDeclaredDead(t *testing.T) {
	db := testkit.Postgres(t)
	one, two := mustEnter(t, db, self("a")), mustEnter(t, db, self("b"))
	eventually(t, "the first may judge", one.steady)
	one.stop()
	two.stop()
	<-one.done
	<-two.done
	eventually(t, "an outage longer than the lease", func() bool { return !one.steady() })
	if err := one.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	one.mustKnow(t, two, true)
}

func TestAForgottenRowIsSaidAndMadeAgain(t *testing.T) {
	db := testkit.Postgres(t)
	var log strings.Builder
	one, err := enter(t, db, self("a"), &log)
	if err != nil {
		t.Fatal(err)
	}
	one.stop()
	<-one.done
	copied := mustEnter(t, db, self("a"))
	if err := one.beat(t.Context()); err != nil || !strings.Contains(log.String(), "DATA_DIR") {
		t.Errorf("%v, logged %q", err, log.String())
	}
	copied.mustKnow(t, one, true)
}

func TestServersThatCannotBeOneRefuseToStart(t *testing.T) {
	s3 := func(address string) Store {
		return Store{Setting: "S3_ENDPOINT", Address: address, Need: Unavoidable, Else: "objects are not seen"}
	}
	mongo := func(address string) Store {
		return Store{Setting: "MONGO_URI", Address: address, Need: AllOrNone, Else: "chats are not seen"}
	}
	redis := Store{Setting: "REDIS_URL", Need: Helpful, Else: "limits count per server"}
	other := func(change func(*Self)) Self {
		s := self("b")
		s.Stores = []Store{s3("one"), mongo("")}
		change(&s)
		return s
	}
	for name, test := range map[string]struct {
		second Self
		want   string // in the error
		logged string
	}{
		"the same":                    {other(func(*Self) {}), "", ""},
		"another key":                 {other(func(s *Self) { s.KeyID, s.TrustedKeys = "k2", []string{"k2"} }), "JWT_PRIVATE_KEY_PATH", ""},
		"a key the first trusts not":  {other(func(s *Self) { s.KeyID, s.TrustedKeys = "k2", []string{"k1", "k2"} }), "JWT_PRIVATE_KEY_PATH", ""},
		"objects in a directory":      {other(func(s *Self) { s.Stores = []Store{s3("")} }), "S3_ENDPOINT", ""},
		"other objects":               {other(func(s *Self) { s.Stores = []Store{s3("two")} }), "", "S3_ENDPOINT"},
		"documents only at the other": {other(func(s *Self) { s.Stores = []Store{s3("one"), mongo("m")} }), "MONGO_URI", ""},
		"no shared limits":            {other(func(s *Self) { s.Stores = []Store{s3("one"), redis} }), "", "REDIS_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			db := testkit.Postgres(t)
			first := self("a")
			first.Stores = []Store{s3("one"), mongo("")}
			mustEnter(t, db, first)
			var log strings.Builder
			_, err := enter(t, db, test.second, &log)
			if (err != nil) != (test.want != "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("want %q, got %v", test.want, err)
			}
			if !strings.Contains(log.String(), test.logged) || test.logged == "" && strings.Contains(log.String(), "differ") {
				t.Errorf("want %q, logged %q", test.logged, log.String())
			}
			rows, err := table{db}.list(context.Background())
			if want := map[bool]int{true: 1, false: 2}[test.want != ""]; err != nil || len(rows) != want {
				t.Errorf("%d rows, want %d (%v)", len(rows), want, err)
			}
		})
	}
}

func TestTwoDirectoriesWithoutSharedObjectsCannotBeOne(t *testing.T) {
	db := testkit.Postgres(t)
	alone := self("a")
	alone.Stores = []Store{{Setting: "S3_ENDPOINT", Need: Unavoidable}}
	mustEnter(t, db, alone)
	alone.Home = "b"
	if _, err := enter(t, db, alone, nil); err == nil || !strings.Contains(err.Error(), "S3_ENDPOINT") {
		t.Errorf("got %v", err)
	}
}

func TestAKilledServerWithAnotherKeyStopsMattering(t *testing.T) {
	db := testkit.Postgres(t)
	killed := mustEnter(t, db, self("a"))
	killed.stop()
	<-killed.done
	next := self("b")
	next.KeyID, next.TrustedKeys = "k2", []string{"k2"}
	eventually(t, "it starts once the lease is over", func() bool {
		_, err := enter(t, db, next, nil)
		return err == nil
	})
}

func TestWorkThatNeedsTheDatabaseForItselfIsRefusedBesideAServer(t *testing.T) {
	db := testkit.Postgres(t)
	if err := RequireNone(t.Context(), db, "a"); err != nil {
		t.Error(err)
	}
	there := mustEnter(t, db, self("b"))
	if err := RequireNone(t.Context(), db, "a"); err == nil || !strings.Contains(err.Error(), "host web-b, seen") {
		t.Errorf("beside a server: %v", err)
	}
	if err := RequireNone(t.Context(), db, "b"); err != nil {
		t.Errorf("after a server of the same directory, whose lock is held: %v", err)
	}
	if err := there.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := RequireNone(t.Context(), db, "a"); err != nil {
		t.Errorf("after it left: %v", err)
	}
}
