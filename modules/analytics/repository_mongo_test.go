package analytics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func storedDocuments(t testing.TB, db *database.Mongo) []storedEvent {
	t.Helper()
	documents, err := database.Documents[eventDocument](context.Background(), db, func(ctx context.Context) (*mongo.Cursor, error) {
		return db.Collection(eventDocuments).Find(ctx, bson.M{}, options.Find().SetSort(bson.M{"_id": 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	var list []storedEvent
	for _, d := range documents {
		metadata, err := json.Marshal(eventMetadata{d.HTTPStatus, d.Code, d.ObjectID, d.Estimated})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, storedEvent{ID: d.ID, RequestID: d.RequestID, Status: string(d.Status), Metadata: string(metadata), TS: d.TS,
			UserID: d.UserID, TTFTMS: d.TTFTMS, OutputBytes: d.OutputBytes})
	}
	return list
}

func countDocuments(t testing.TB, db *database.Mongo, collection string, which bson.M) (n int64) {
	t.Helper()
	err := db.Do(context.Background(), func(ctx context.Context) (err error) {
		n, err = db.Collection(collection).CountDocuments(ctx, which)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// afterLease returns a repository of another process, at a time when it may take
// over what the first one left. It does so as on a MongoDB.
func afterLease(db *database.Mongo) *mongoRepository {
	r := NewMongoRepository(db).(*mongoRepository)
	r.now = func() time.Time { return time.Now().Add(2 * batchLease) }
	r.byID, r.limits.lease = false, 0
	return r
}

// isDerived compares everything that is derived from the hours with what is made
// from them anew, and sees that no note is left.
func isDerived(t *testing.T, db *database.Mongo) {
	t.Helper()
	for _, collection := range []string{hourDocuments, everyoneDocuments, userDocuments, rankDocuments} {
		if n := countDocuments(t, db, collection, bson.M{"batches.0": bson.M{"$exists": true}}); n != 0 {
			t.Errorf("%d documents of %s have notes", n, collection)
		}
	}
	before := derivedDocuments(t, db)
	if err := afterLease(db).rebuildAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(derivedDocuments(t, db), before); diff != "" {
		t.Errorf("(-from the hours +stored):\n%.3000s", diff)
	}
}

// derivedDocuments returns what is derived from the hours, without what was moved
// away.
func derivedDocuments(t *testing.T, db *database.Mongo) map[string]bson.M {
	t.Helper()
	found := map[string]bson.M{}
	for _, collection := range []string{everyoneDocuments, userDocuments, rankDocuments, accountDocuments} {
		documents, err := database.Documents[bson.M](t.Context(), db, func(ctx context.Context) (*mongo.Cursor, error) {
			return db.Collection(collection).Find(ctx, bson.M{"requests": bson.M{"$ne": int64(0)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range documents {
			maps.DeleteFunc(document, func(_ string, value any) bool { return value == int64(0) })
			delete(document, "batches")
			found[collection+" "+document["_id"].(string)] = document
		}
	}
	return found
}

// writesOfAppend is how many writes Append makes: batch, events, deltas; hours and
// four collections of what is derived from them; mark, notes in four, batch.
const writesOfAppend = 14

func TestAnInterruptedAppendIsCompletedOnce(t *testing.T) {
	for write := 1; write <= writesOfAppend+1; write++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, answer lost %v", write, lost), func(t *testing.T) {
				direct, linked, link := testkit.MongoThroughLink(t)
				if err := EnsureIndexes(t.Context(), direct); err != nil {
					t.Fatal(err)
				}
				first := eventAt(day, by(3))
				mustAppend(t, NewMongoRepository(direct), first)
				events := []Event{first, eventAt(day), eventAt(day, by(2)), eventAt(day.Add(time.Hour)), eventAt(day, ended(StatusFailed))}
				link.CutAtWrite(write, lost)
				err := NewMongoRepository(linked).Append(t.Context(), events)
				if whole := write > writesOfAppend; (err == nil) != whole {
					t.Fatalf("got %v", err)
				}

				// The queue tries again, and later somebody comes along.
				mustAppend(t, NewMongoRepository(direct), events...)
				for range 2 {
					if err := afterLease(direct).recover(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				r, scope := NewMongoRepository(direct), within(day, 24*time.Hour)
				var want Figures
				for _, e := range events {
					want.Add(e.figures())
				}
				if diff := cmp.Diff(want, totals(t, r, scope)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if n := count(histogram(t, r, scope)); n != 4 {
					t.Errorf("%d latencies", n)
				}
				if n := countDocuments(t, direct, batchDocuments, bson.M{}); n != 0 {
					t.Errorf("%d batches are left", n)
				}
				naive(events).compare(t, r, scope, Group{Step: StepDay, Service: true})
				isDerived(t, direct)
			})
		}
	}
}

func TestAnInterruptedErasureIsCompletedOnce(t *testing.T) {
	// Of the events, of a batch that moves hours, of removing what is empty, and of
	// another batch that finds nothing.
	const writes = 1 + 10 + 3 + 2 + 3 + 1
	for write := 1; write <= writes+1; write++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, answer lost %v", write, lost), func(t *testing.T) {
				direct, linked, link := testkit.MongoThroughLink(t)
				if err := EnsureIndexes(t.Context(), direct); err != nil {
					t.Fatal(err)
				}
				r, scope := NewMongoRepository(direct), within(day, 24*time.Hour)
				mustAppend(t, r, eventAt(day), eventAt(day.Add(time.Hour)), eventAt(day, by(2)), eventAt(day, by(ErasedUser)))
				before, latencies := totals(t, r, scope), histogram(t, r, scope)
				link.CutAtWrite(write, lost)
				err := NewMongoRepository(linked).DetachUser(t.Context(), 1)
				if whole := write > writes; (err == nil) != whole {
					t.Fatalf("got %v", err)
				}

				mustAppend(t, r, eventAt(day)) // a straggler
				before.Add(eventAtFigures())
				if err := afterLease(direct).DetachUser(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, totals(t, r, scope)); diff != "" {
					t.Errorf("sums over everyone (-want +got):\n%s", diff)
				}
				if got, want := count(histogram(t, r, scope)), count(latencies)+1; got != want {
					t.Errorf("%d latencies, want %d", got, want)
				}
				for user, want := range map[int64]int64{1: 0, 2: 1, ErasedUser: 4} {
					if got := totals(t, r, ofUser(scope, user)).Requests; got != want {
						t.Errorf("user %d: %d requests, want %d", user, got, want)
					}
				}
				for _, collection := range []string{eventDocuments, hourDocuments, userDocuments, rankDocuments, accountDocuments} {
					if n := countDocuments(t, direct, collection, bson.M{"user_id": 1}); n != 0 {
						t.Errorf("%d documents of %s name the user", n, collection)
					}
				}
				isDerived(t, direct)
			})
		}
	}
}

func eventAtFigures() Figures {
	e := eventAt(day)
	return e.figures()
}

func TestABatchOfALiveProcessIsLeftAlone(t *testing.T) {
	s := mongoStore(t)
	r := s.repository().(*mongoRepository)
	batch := batchDocument{ID: "live", At: time.Now().UTC().Truncate(time.Millisecond), Events: []string{"e"}}
	if err := r.insertBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := r.recover(t.Context()); err != nil || countDocuments(t, s.documents, batchDocuments, bson.M{}) != 1 {
		t.Fatalf("it was taken over, %v", err)
	}
	late := afterLease(s.documents)
	if err := late.takeOver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	err := r.roll(t.Context(), batch, deltasOf([]Event{eventAt(day)})) // the first process wakes up
	if !fault.Is(err, fault.Unavailable) || totals(t, r, within(day, time.Hour)).Requests != 0 {
		t.Fatalf("it went on: %v", err)
	}
	if err := late.takeOver(t.Context(), batch); !database.IsNotFound(err) {
		t.Fatalf("it was taken over twice: %v", err)
	}
}

func TestADetachmentRunsOnceAtATime(t *testing.T) {
	r := mongoStore(t).repository().(*mongoRepository)
	mustAppend(t, r, eventAt(day))
	if err := r.insertBatch(t.Context(), batchDocument{ID: "detach-1", At: time.Now().UTC()}); err != nil {
		t.Fatal(err)
	}
	if err := r.DetachUser(t.Context(), 1); !fault.Is(err, fault.Unavailable) || fault.CodeOf(err) != "erasure_running" {
		t.Fatalf("got %v", err)
	}
}

func TestAnErasureBesideABatchOfAnotherServerLeavesNoSums(t *testing.T) {
	db := mongoStore(t).documents
	r := NewMongoRepository(db).(*mongoRepository)
	mustAppend(t, r, eventAt(day, by(2)))
	deltas := deltasOf([]Event{eventAt(day)})
	batch := batchDocument{ID: "other", At: stored(time.Now()), Events: []string{}}
	if err := r.insertBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	changes := changesOf(deltas)
	if err := r.addAtOnce(t.Context(), batch.ID, changes[:1]); err != nil { // its hour
		t.Fatal(err)
	}
	erased := make(chan error, 1)
	go func() { erased <- NewMongoRepository(db).DetachUser(t.Context(), 1) }()
	time.Sleep(2 * buildPause) // until it waits
	if err := r.addAtOnce(t.Context(), batch.ID, changes[1:]); err != nil {
		t.Fatal(err)
	}
	batch.Deltas = deltas
	if err := r.finish(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := <-erased; err != nil {
		t.Fatal(err)
	}
	for _, collection := range []string{hourDocuments, userDocuments, rankDocuments, accountDocuments} {
		if n := countDocuments(t, db, collection, bson.M{"user_id": 1}); n != 0 {
			t.Errorf("%d documents of %s name the user", n, collection)
		}
	}
	isDerived(t, db)
}
