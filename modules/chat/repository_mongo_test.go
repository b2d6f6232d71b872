package chat

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

func countDocuments(t testing.TB, db *database.Mongo, collection string, which bson.M) (n int64) {
	t.Helper()
	must(t, db.Do(context.Background(), func(ctx context.Context) (err error) {
		n, err = db.Collection(collection).CountDocuments(ctx, which)
		return err
	}))
	return n
}

// eachCut runs test with a link that is cut at every write in turn, before and
// after the server did it. test makes the writes on linked.
func eachCut(t *testing.T, writes int, test func(t *testing.T, direct, linked repository, db *database.Mongo, cut func())) {
	for write := 1; write <= writes; write++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, answer lost %v", write, lost), func(t *testing.T) {
				direct, linked, link := testkit.MongoThroughLink(t)
				test(t, mongoStore(t, direct), Deps{Documents: linked}.repository(), direct, func() { link.CutAtWrite(write, lost) })
			})
		}
	}
}

func TestAnExchangeWhoseBeginningWasCutOffIsWholeOrNotThere(t *testing.T) {
	eachCut(t, 3, func(t *testing.T, direct, linked repository, db *database.Mongo, cut func()) {
		s := newSession(1, epoch)
		must(t, direct.CreateSession(t.Context(), s))
		must(t, direct.BeginExchange(t.Context(), begin(s, "first", epoch)))
		cut()
		if err := linked.BeginExchange(t.Context(), begin(s, "second", epoch)); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		messages := allMessages(t, direct, s)
		found, err := direct.FindSession(t.Context(), 1, s.ID)
		must(t, err)
		if len(messages)%2 != 0 || found.MessageCount != int64(len(messages)) {
			t.Fatalf("%d messages, the session has %d", len(messages), found.MessageCount)
		}
		failed, err := direct.FailUnfinished(t.Context(), epoch.Add(time.Hour), everyAnswer)
		if err != nil || failed != len(messages)/2 {
			t.Fatalf("%d failed of %d, %v", failed, len(messages)/2, err)
		}
		must(t, direct.BeginExchange(t.Context(), begin(s, "third", epoch)))
		if n := countDocuments(t, db, exchangeDocuments, bson.M{}); n != int64(len(messages)/2+1) {
			t.Fatalf("%d exchanges", n)
		}
	})
}

func TestASessionWhoseBeginningWasCutOffIsWholeOrNotThere(t *testing.T) {
	eachCut(t, 2, func(t *testing.T, direct, linked repository, db *database.Mongo, cut func()) {
		s := newSession(1, epoch)
		b := begin(s, "first", epoch)
		b.New = true
		cut()
		if err := linked.BeginExchange(t.Context(), b); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		_, total, err := direct.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
		must(t, err)
		if messages := allMessages(t, direct, s); int64(len(messages)) != 2*total {
			t.Fatalf("%d sessions with %d messages", total, len(messages))
		}
		if _, err := direct.FailUnfinished(t.Context(), epoch.Add(time.Second), everyAnswer); err != nil {
			t.Fatal(err)
		}
		if n, was := countDocuments(t, db, exchangeDocuments, bson.M{"status": statusProcessing}), 1-total; n > was {
			t.Fatalf("%d are processing", n)
		}
		if _, err := direct.FailUnfinished(t.Context(), epoch.Add(time.Hour), everyAnswer); err != nil {
			t.Fatal(err)
		}
		if n := countDocuments(t, db, exchangeDocuments, bson.M{}); n != total {
			t.Fatalf("%d exchanges of %d sessions", n, total)
		}
	})
}

func TestAnOutcomeThatWasCutOffCountsOnce(t *testing.T) {
	eachCut(t, 2, func(t *testing.T, direct, linked repository, _ *database.Mongo, cut func()) {
		s := newSession(1, epoch)
		b := begin(s, "first", epoch)
		b.New = true
		must(t, direct.BeginExchange(t.Context(), b))
		cut()
		if err := linked.FinishAnswer(t.Context(), finished(b, "fine", epoch)); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		if err := direct.FinishAnswer(t.Context(), finished(b, "fine", epoch)); err != nil {
			wantFault(t, err, fault.Conflict, "already_finished")
		}
		found, err := direct.FindSession(t.Context(), 1, s.ID)
		must(t, err)
		if diff := cmp.Diff(tokens{Input: 10, Output: 5}, found.Tokens); diff != "" || allMessages(t, direct, s)[0].Content != "fine" {
			t.Fatal(diff)
		}
	})
}

func TestADeletionThatWasCutOffHidesEverythingOrNothingAndIsCompleted(t *testing.T) {
	acts := map[string]func(r repository, s session) error{
		"DeleteSession": func(r repository, s session) error { return r.DeleteSession(context.Background(), 1, s.ID) },
		"EraseUser":     func(r repository, _ session) error { return r.EraseUser(context.Background(), 1) },
	}
	repairs := map[string]func(r repository) error{
		"FailUnfinished": func(r repository) error {
			_, err := r.FailUnfinished(context.Background(), epoch.Add(time.Hour), everyAnswer)
			return err
		},
		"EraseUser": func(r repository) error { return r.EraseUser(context.Background(), 1) },
	}
	for name, act := range acts {
		for repairName, repair := range repairs {
			t.Run(name+", then "+repairName, func(t *testing.T) {
				eachCut(t, 3, func(t *testing.T, direct, linked repository, db *database.Mongo, cut func()) {
					s, other := newSession(1, epoch), newSession(2, epoch)
					for _, one := range []session{s, other} {
						b := begin(one, "first", epoch)
						b.New = true
						must(t, direct.BeginExchange(t.Context(), b))
					}
					cut()
					if err := act(linked, s); !fault.Is(err, fault.Unavailable) {
						t.Fatalf("got %v", err)
					}
					_, findErr := direct.FindSession(t.Context(), 1, s.ID)
					gone := fault.Is(findErr, fault.NotFound)
					_, total, err := direct.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
					must(t, err)
					if messages := len(allMessages(t, direct, s)); gone != (messages == 0) || gone != (total == 0) {
						t.Fatalf("gone %v, %d sessions, %d messages", gone, total, messages)
					}
					must(t, repair(direct))
					kept := int64(2)
					if gone || repairName == "EraseUser" {
						kept = 1
					}
					if n, m := countDocuments(t, db, sessionDocuments, bson.M{}), countDocuments(t, db, exchangeDocuments, bson.M{}); n != kept || m != kept {
						t.Fatalf("%d sessions and %d exchanges are left, not %d", n, m, kept)
					}
				})
			})
		}
	}
}

func TestAMessageToASessionThatIsBeingDeletedGoesWithIt(t *testing.T) {
	db := testkit.Mongo(t)
	r := mongoStore(t, db).(mongoRepository)
	s := newSession(1, epoch)
	must(t, r.CreateSession(t.Context(), s))
	b := begin(s, "late", epoch)
	claimed, err := r.insertExchange(t.Context(), b) // the first two steps of BeginExchange
	must(t, err)
	must(t, r.changeSession(t.Context(), ownDocument(1, s.ID), bson.M{"deleted": true}))
	wantFault(t, r.applyBegun(t.Context(), b, claimed.Title), fault.NotFound, "not_found")
	wantFault(t, r.BeginExchange(t.Context(), begin(s, "later", epoch)), fault.NotFound, "not_found")
	wantFault(t, r.FinishAnswer(t.Context(), finished(b, "fine", epoch)), fault.NotFound, "not_found")
	must(t, r.EraseUser(t.Context(), 1))
	if n := countDocuments(t, db, exchangeDocuments, bson.M{}); n != 0 {
		t.Fatalf("%d exchanges", n)
	}
}

func TestAPositionThatIsTakenIsPassedOver(t *testing.T) {
	db := testkit.Mongo(t)
	r := mongoStore(t, db).(mongoRepository)
	s := newSession(1, epoch)
	must(t, r.CreateSession(t.Context(), s))
	must(t, r.insert(t.Context(), r.exchanges(), newExchangeDocument(begin(s, "taken", epoch), 1)))
	must(t, r.BeginExchange(t.Context(), begin(s, "next", epoch)))
	list := allMessages(t, r, s)
	if len(list) != 4 || list[1].Content != "next" || list[1].Position != 3 {
		t.Fatalf("%+v", list)
	}
}
