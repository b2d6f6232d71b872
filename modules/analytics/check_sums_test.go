package analytics

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"llmhist/platform/check"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestLongerSumsAreHeldAgainstTheirHours(t *testing.T) {
	for name, damage := range map[string]string{
		"none at all":            "DELETE FROM analytics_sums",
		"a month of an account":  "DELETE FROM analytics_sums WHERE grain = 3 AND user_id = 1",
		"a day of everyone":      "UPDATE analytics_sums SET requests = requests + 1 WHERE grain = 2 AND user_id = -2",
		"an hour of everyone":    "UPDATE analytics_sums SET latency_3 = 7 WHERE grain = 1 AND user_id = -2",
		"the ranking by request": "UPDATE analytics_ranks SET requests = 1 WHERE grain = 3",
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
				s := store{sql: db}
				r, events := s.repository(), randomEvents(rand.New(rand.NewPCG(1, 2)), 200)
				mustAppend(t, r, events...)
				if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
					t.Fatalf("before: %v", found)
				}
				if err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(damage).Error }); err != nil {
					t.Fatal(err)
				}
				want := map[string]check.Count{"sums_differ_from_hours": {Found: 4, Repaired: 4}} // the months of the events
				if diff := cmp.Diff(want, checkHours(t, s, check.Options{Repair: true}, everybody{})); diff != "" {
					t.Error(diff)
				}
				if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
					t.Errorf("after the repair: %v", found)
				}
				random := rand.New(rand.NewPCG(3, 4))
				for range 20 {
					events.compare(t, r, randomScope(random), randomGroup(random))
				}
			})
		})
	}
}
