package analytics

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// allRows returns what is in the tables that are derived from the hours.
func allRows(t *testing.T, db *database.DB) map[string][]map[string]any {
	t.Helper()
	found := map[string][]map[string]any{}
	for table, order := range map[string]string{
		"analytics_sums": "grain, user_id, start, service, provider, model", "analytics_ranks": "grain, user_id, start, service",
		"analytics_accounts": "user_id, service",
	} {
		var rows []map[string]any
		if err := db.Read(t.Context()).Table(table).Order(order).Find(&rows).Error; err != nil {
			t.Fatal(err)
		}
		found[table] = rows
	}
	return found
}

func TestHoursThatWereThereBeforeTheLongerSumsAreInThem(t *testing.T) {
	testkit.EachDatabaseBefore(t, "00011", func(t *testing.T, db *database.DB) {
		random := rand.New(rand.NewPCG(5, 9))
		events := randomEvents(random, 600)
		addAsBefore(t, db, events...)
		if n, err := db.Migrate(t.Context(), migrations.Files); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		migrated := allRows(t, db)
		for month := BucketMonth.start(naiveFrom); month.Before(naiveFrom.AddDate(0, 0, naiveDays)); month = BucketMonth.next(month) {
			if err := NewRepository(db).(checked).RebuildMonth(t.Context(), month); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(allRows(t, db), migrated); diff != "" {
			t.Errorf("(-from the hours +migrated):\n%.3000s", diff)
		}
		more := randomEvents(random, 100)
		mustAppend(t, NewRepository(db), more...)
		events = append(events, more...)
		for range 40 {
			events.compare(t, NewRepository(db), randomScope(random), randomGroup(random))
		}
	})
}
