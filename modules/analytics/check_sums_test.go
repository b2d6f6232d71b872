package analytics

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"gorm.io/gorm"

	"llmhist/platform/check"
)

// derivedDamage does to the longer sums what no server does, in SQL and in documents.
type derivedDamage struct {
	statement  string
	collection string
	which      bson.M
	change     bson.M // nil = they are removed
}

func (d derivedDamage) to(t *testing.T, s store) {
	t.Helper()
	if s.sql != nil {
		if err := s.sql.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(d.statement).Error }); err != nil {
			t.Fatal(err)
		}
		return
	}
	collection := s.documents.Collection(d.collection)
	var err error
	if d.change == nil {
		_, err = collection.DeleteMany(t.Context(), d.which)
	} else {
		_, err = collection.UpdateMany(t.Context(), d.which, d.change)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLongerSumsAreHeldAgainstTheirHours(t *testing.T) {
	for name, damage := range map[string]derivedDamage{
		"none at all": {"DELETE FROM analytics_sums", userDocuments, bson.M{}, nil},
		"a month of an account": {"DELETE FROM analytics_sums WHERE grain = 3 AND user_id = 1",
			userDocuments, bson.M{"grain": 3, "user_id": 1}, nil},
		"a day of everyone": {"UPDATE analytics_sums SET requests = requests + 1 WHERE grain = 2 AND user_id = -2",
			everyoneDocuments, bson.M{"grain": 2}, bson.M{"$inc": bson.M{"requests": int64(1)}}},
		"an hour of everyone": {"UPDATE analytics_sums SET latency_3 = 7 WHERE grain = 1 AND user_id = -2",
			everyoneDocuments, bson.M{"grain": 1}, bson.M{"$set": bson.M{"latency_3": int64(7)}}},
		"the ranking by request": {"UPDATE analytics_ranks SET requests = 1 WHERE grain = 3",
			rankDocuments, bson.M{"grain": 3}, bson.M{"$set": bson.M{"requests": int64(1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store) {
				count, windows := 200, 20
				if s.documents != nil {
					count, windows = 60, 5 // the tests' server is slow
				}
				r, events := s.repository(), randomEvents(rand.New(rand.NewPCG(1, 2)), count)
				persist(t, func() error { return r.Append(t.Context(), events) })
				settled(t, s)
				if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
					t.Fatalf("before: %v", found)
				}
				damage.to(t, s)
				want := map[string]check.Count{"sums_differ_from_hours": {Found: 4, Repaired: 4}} // the months of the events
				if diff := cmp.Diff(want, checkHours(t, s, check.Options{Repair: true}, everybody{})); diff != "" {
					t.Error(diff)
				}
				if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
					t.Errorf("after the repair: %v", found)
				}
				random := rand.New(rand.NewPCG(3, 4))
				for range windows {
					events.compare(t, r, randomScope(random), randomGroup(random))
				}
			})
		})
	}
}
