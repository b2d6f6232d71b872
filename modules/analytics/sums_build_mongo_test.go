package analytics

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// hoursOnly stores the hours of events as releases before the longer sums did.
func hoursOnly(t *testing.T, db *database.Mongo, events ...Event) {
	t.Helper()
	deltas := deltasOf(events)
	var page []archivedHour
	for i := range deltas {
		hour, latencies := deltas[i].rows()
		archived := archivedHourOf(hour)
		for _, row := range latencies {
			archived.Latencies = append(archived.Latencies, [2]int64{int64(row.Bucket), row.Requests})
		}
		page = append(page, archived)
	}
	if err := NewArchive(nil, db).insertHourDocuments(t.Context(), page); err != nil {
		t.Fatal(err)
	}
}

// acrossMonths are events of three days in two months.
func acrossMonths() naive {
	return naive{eventAt(day), eventAt(day, by(2)), eventAt(day, by(0), ended(StatusFailed)), eventAt(day.AddDate(0, 0, 3)),
		eventAt(day.AddDate(0, 1, 0), of("image", "p", "m")), eventAt(day.AddDate(0, 1, 0).Add(time.Hour), by(ErasedUser))}
}

func isComplete(t *testing.T, db *database.Mongo) bool {
	t.Helper()
	state, err := NewMongoRepository(db).(*mongoRepository).sumsState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Complete
}

func TestHoursOfTheReleaseBeforeAreInTheLongerSumsOnceAServerHasStarted(t *testing.T) {
	db := testkit.Mongo(t)
	random := rand.New(rand.NewPCG(5, 9))
	events := randomEvents(random, 60)
	hoursOnly(t, db, events...)
	var servers sync.WaitGroup
	for range 3 { // at once
		servers.Go(func() {
			if err := EnsureIndexes(t.Context(), db); err != nil {
				t.Error(err)
			}
		})
	}
	servers.Wait()
	isDerived(t, db)
	more := randomEvents(random, 20)
	r := NewMongoRepository(db)
	persist(t, func() error { return r.Append(t.Context(), more) })
	settled(t, store{documents: db})
	events = append(events, more...)
	for range 6 {
		events.compare(t, r, randomScope(random), randomGroup(random))
	}
	if n := countDocuments(t, db, batchDocuments, bson.M{}); n != 0 {
		t.Errorf("%d batches are left", n)
	}
}

// withoutRanks removes derived documents that a second making would bring back, and
// returns the others.
func withoutRanks(t *testing.T, db *database.Mongo) map[string]bson.M {
	t.Helper()
	if _, err := db.Collection(rankDocuments).DeleteMany(t.Context(), bson.M{}); err != nil {
		t.Error(err)
	}
	return derivedDocuments(t, db)
}

func TestALaterStartMakesNoSumsAgain(t *testing.T) {
	for name, first := range map[string][]Event{"of an empty database": nil, "of hours": acrossMonths()} {
		t.Run(name, func(t *testing.T) {
			db := testkit.Mongo(t)
			if len(first) > 0 {
				hoursOnly(t, db, first...)
			}
			if err := EnsureIndexes(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, NewMongoRepository(db), eventAt(day.AddDate(0, 1, 0), by(7)))
			before := withoutRanks(t, db)
			if err := EnsureIndexes(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, derivedDocuments(t, db)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAServerThatWaitedForAnotherMakesNoSumsAgain(t *testing.T) {
	db := testkit.Mongo(t)
	hoursOnly(t, db, acrossMonths()...)
	first := NewMongoRepository(db).(*mongoRepository)
	var second sync.WaitGroup
	var before map[string]bson.M
	err := first.buildAlone(t.Context(), needed, func(ctx context.Context, b *build) error {
		began := make(chan struct{})
		second.Go(func() {
			close(began)
			if err := NewMongoRepository(db).(*mongoRepository).completeSums(ctx); err != nil {
				t.Error(err)
			}
		})
		<-began
		time.Sleep(2 * buildPause) // until it waits
		if err := b.all(ctx, time.Time{}); err != nil {
			return err
		}
		before = withoutRanks(t, db)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	second.Wait()
	if diff := cmp.Diff(before, derivedDocuments(t, db)); diff != "" {
		t.Error(diff)
	}
}

func TestAnInterruptedStartIsCompletedByTheNext(t *testing.T) {
	// The batch; of each month three removals, four collections, and the note of it
	// with the proof before; that all is complete, with the proof before; the batch.
	const writes = 1 + 2*(3+4+2) + 2 + 1
	for write := 1; write <= writes+1; write++ { // a write whose answer is lost leaves what the next one finds
		t.Run(fmt.Sprintf("write %d", write), func(t *testing.T) {
			t.Parallel()
			direct, linked, link := testkit.MongoThroughLink(t)
			events := acrossMonths()
			hoursOnly(t, direct, events...)
			link.CutAtWrite(write, false)
			err := NewMongoRepository(linked).(*mongoRepository).completeSums(t.Context())
			if whole := write > writes; (err == nil) != whole {
				t.Fatalf("got %v", err)
			}
			if complete := write > writes-1; isComplete(t, direct) != complete {
				t.Errorf("complete is not %v", complete)
			}
			later := afterLease(direct)
			if err := later.completeSums(t.Context()); err != nil || !isComplete(t, direct) {
				t.Fatal(err)
			}
			events.compare(t, later, within(day.AddDate(0, 0, -1), 40*24*time.Hour), Group{Step: StepDay, Service: true})
			isDerived(t, direct)
		})
	}
}

func TestAServerThatWasTooSlowStopsMakingSums(t *testing.T) {
	db := mongoStore(t).documents
	mustAppend(t, NewMongoRepository(db), acrossMonths()...)
	hoursOnly(t, db, eventAt(day.AddDate(0, 0, 9))) // of which the making would tell
	before := derivedDocuments(t, db)
	slow := NewMongoRepository(db).(*mongoRepository)
	err := slow.buildAlone(t.Context(), needed, func(ctx context.Context, b *build) error {
		if held, err := (&build{mongoRepository: afterLease(db)}).claim(ctx); err != nil || !held { // another one starts long after
			t.Fatal(held, err)
		}
		slow.now = afterLease(db).now
		return b.month(ctx, BucketMonth.start(day))
	})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, derivedDocuments(t, db)); diff != "" {
		t.Error(diff)
	}
}

// interruptedAfterHours leaves a batch of which only the hours are added.
func interruptedAfterHours(t *testing.T) (*database.Mongo, naive) {
	t.Helper()
	direct, linked, link := testkit.MongoThroughLink(t)
	if err := EnsureIndexes(t.Context(), direct); err != nil {
		t.Fatal(err)
	}
	events := acrossMonths()
	mustAppend(t, NewMongoRepository(direct), events...)
	more := []Event{eventAt(day.Add(time.Minute)), eventAt(day, by(5))}
	link.CutAtWrite(5, false)
	if err := NewMongoRepository(linked).Append(t.Context(), more); err == nil {
		t.Fatal("it was not interrupted")
	}
	return direct, append(events, more...)
}

func TestWhatAServerLeftIsInAMonthThatIsMadeAgainOnce(t *testing.T) {
	db, events := interruptedAfterHours(t)
	later := afterLease(db)
	if err := later.RebuildMonth(t.Context(), BucketMonth.start(day)); err != nil {
		t.Fatal(err)
	}
	events.compare(t, later, within(day, 40*24*time.Hour), Group{Step: StepDay, Model: true})
	isDerived(t, db)
}

func TestAMonthThatABatchIsAtWorkOnIsNotFoundWrong(t *testing.T) {
	db, _ := interruptedAfterHours(t)
	r := NewMongoRepository(db).(*mongoRepository)
	if months, err := r.ListStaleMonths(t.Context()); err != nil || len(months) != 0 {
		t.Errorf("%v, %v", months, err)
	}
	if _, err := r.batches().DeleteMany(t.Context(), bson.M{}); err != nil { // nobody will ever add the rest
		t.Fatal(err)
	}
	months, err := r.ListStaleMonths(t.Context())
	if diff := cmp.Diff([]time.Time{BucketMonth.start(day)}, months); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestChangesOfWhichSomeAreMadeAreMadeOnce(t *testing.T) {
	for name, byID := range map[string]bool{"by conditions": false, "by _id alone": true} {
		t.Run(name, func(t *testing.T) {
			r := mongoStore(t).repository().(*mongoRepository)
			r.byID = byID
			mustAppend(t, r, eventAt(day))
			deltas := deltasOf([]Event{eventAt(day), eventAt(day, by(2)), eventAt(day.AddDate(0, 1, 0))})
			changes := changesOf(deltas)
			if missing, err := r.missing(t.Context(), "left", changes[:1]); err != nil || len(missing) != 1 {
				t.Fatalf("an hour that is there without the note: %v, %v", missing, err)
			}
			for i := range changes {
				if i%2 == 0 {
					continue
				}
				if err := r.addEach(t.Context(), "left", changes[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := r.addAgain(t.Context(), "left", changes); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.removeNotes(t.Context(), batchDocument{ID: "left", Deltas: deltas}); err != nil {
				t.Fatal(err)
			}
			if got := totals(t, r, within(day, 40*24*time.Hour)).Requests; got != 4 {
				t.Errorf("%d requests", got)
			}
			isDerived(t, r.db)
		})
	}
}

func TestAServerThatWaitsStartsOnceTheSumsAreCompleteBesideBusyOnes(t *testing.T) {
	db := testkit.Mongo(t)
	hoursOnly(t, db, acrossMonths()...)
	first, live := NewMongoRepository(db).(*mongoRepository), batchDocument{ID: "live", Events: []string{}}
	started := make(chan error, 1)
	err := first.buildAlone(t.Context(), needed, func(ctx context.Context, b *build) error {
		go func() { started <- NewMongoRepository(db).(*mongoRepository).completeSums(ctx) }()
		time.Sleep(2 * buildPause) // until it waits
		if err := b.all(ctx, time.Time{}); err != nil {
			return err
		}
		live.At = stored(time.Now()) // the first server serves, and has a batch open whenever one looks
		return first.insertBatch(ctx, live)
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-started:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(batchLease / 2):
		t.Error("it waits for the batches of the server that serves")
	}
	if n := countDocuments(t, db, batchDocuments, bson.M{}); n != 1 {
		t.Errorf("%d batches are open", n)
	}
}

func TestAStartSaysThatAReleaseWithoutLongerSumsCameBack(t *testing.T) {
	last := day.AddDate(0, 1, 0).Add(time.Hour)
	for name, at := range map[string]time.Time{"in an hour that it was the first in": last.AddDate(0, 0, 9), "in one that has others": last} {
		t.Run(name, func(t *testing.T) {
			db := mongoStore(t).documents
			r := NewMongoRepository(db).(*mongoRepository)
			r.byID = false
			mustAppend(t, r, acrossMonths()...)
			if behind, err := r.areBehind(t.Context()); err != nil || behind {
				t.Errorf("before: %v, %v", behind, err)
			}
			deltas := deltasOf([]Event{eventAt(at, by(2))})
			if err := r.addEach(t.Context(), "older", changesOf(deltas)[:1]); err != nil {
				t.Fatal(err)
			}
			if err := r.removeNotes(t.Context(), batchDocument{ID: "older", Deltas: deltas}); err != nil {
				t.Fatal(err)
			}
			if behind, err := r.areBehind(t.Context()); err != nil || !behind {
				t.Errorf("%v, %v", behind, err)
			}
			if err := r.completeSums(t.Context()); err != nil { // it serves all the same
				t.Error(err)
			}
		})
	}
}

func TestABatchThatIsHalfDoneIsNoReleaseThatCameBack(t *testing.T) {
	db, _ := interruptedAfterHours(t)
	r := NewMongoRepository(db).(*mongoRepository)
	if behind, err := r.areBehind(t.Context()); err != nil || behind {
		t.Errorf("%v, %v", behind, err)
	}
}

func TestALongBuildKeepsItsBatch(t *testing.T) {
	db := testkit.Mongo(t)
	events := acrossMonths()
	hoursOnly(t, db, events...)
	r := NewMongoRepository(db).(*mongoRepository)
	r.limits.renewal, r.limits.page = 0, 1 // an hour at a time
	if err := r.buildAlone(t.Context(), needed, func(ctx context.Context, b *build) error {
		watched := &build{mongoRepository: NewMongoRepository(db).(*mongoRepository)}
		watched.limits.lease = 50 * time.Millisecond // it would take what it sees unchanged once more
		began := b.batch.At
		for _, month := range []time.Time{BucketMonth.start(day), BucketMonth.next(day)} {
			if held, err := watched.claim(ctx); err != nil || held {
				t.Errorf("taken over: %v, %v", held, err)
			}
			time.Sleep(watched.limits.lease)
			if err := b.month(ctx, month); err != nil {
				return err
			}
		}
		if !b.batch.At.After(began) || countDocuments(t, db, batchDocuments, bson.M{"at": b.batch.At}) != 1 {
			t.Error("the batch was not renewed")
		}
		return b.all(ctx, time.Time{})
	}); err != nil {
		t.Fatal(err)
	}
	events.compare(t, r, within(day, 40*24*time.Hour), Group{Step: StepDay, Service: true})
	isDerived(t, db)
}

func TestALiveBuildIsLeftAloneByServersWithOtherClocks(t *testing.T) {
	db := testkit.Mongo(t)
	err := NewMongoRepository(db).(*mongoRepository).buildAlone(t.Context(), needed, func(ctx context.Context, b *build) error {
		ahead := afterLease(db)
		ahead.limits = usualBuild()
		if err := ahead.recover(ctx); err != nil {
			return err
		}
		for range 2 {
			if held, err := (&build{mongoRepository: ahead}).claim(ctx); err != nil || held {
				t.Errorf("taken over: %v, %v", held, err)
			}
		}
		return b.prove(ctx)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAnInterruptedBatchIsCompletedByIDAlone(t *testing.T) {
	db, events := interruptedAfterHours(t)
	later := afterLease(db)
	later.byID = true
	if err := later.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	events.compare(t, later, within(day, 40*24*time.Hour), Group{Step: StepDay, Model: true})
	if n := countDocuments(t, db, batchDocuments, bson.M{}); n != 0 {
		t.Errorf("%d batches are left", n)
	}
	isDerived(t, db)
}
