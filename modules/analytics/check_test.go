package analytics

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"gorm.io/gorm"

	"llmhist/platform/check"
)

// everybody has every account; who is leaving is in leaving.
type everybody struct{ leaving map[int64]bool }

func (e everybody) FindAccounts(_ context.Context, ids []int64) (check.Accounting, error) {
	found := check.Accounting{Known: map[int64]check.Account{}}
	for _, id := range ids {
		found.Known[id] = check.Account{Leaving: e.leaving[id]}
	}
	return found, nil
}

// checkHours compares and returns what is found, by code.
func checkHours(t *testing.T, s store, options check.Options, accounts check.Accounts) map[string]check.Count {
	t.Helper()
	options.Now = func() time.Time { return day.Add(48 * time.Hour) }
	report := check.NewReport(options)
	if err := Check(t.Context(), CheckedSums{s.repository(), 400 * 24 * time.Hour}, report, accounts); err != nil {
		t.Fatal(err)
	}
	return report.Counts()
}

// changeHour adds to one figure of every sum of user 1.
func (s store) changeHour(t *testing.T, figure string, by int64) {
	t.Helper()
	if s.sql != nil {
		err := s.sql.Write(t.Context(), func(tx *gorm.DB) error {
			return tx.Exec("UPDATE analytics_hours SET "+figure+" = "+figure+" + ? WHERE user_id = 1", by).Error
		})
		if err != nil {
			t.Fatal(err)
		}
	} else if _, err := s.documents.Collection(hourDocuments).UpdateMany(t.Context(), bson.M{"user_id": int64(1)}, bson.M{"$inc": bson.M{figure: by}}); err != nil {
		t.Fatal(err)
	}
	s.rebuild(t)
}

// rebuild makes what is derived from the hours of the month of day.
func (s store) rebuild(t *testing.T) {
	t.Helper()
	if err := s.repository().(checked).RebuildMonth(t.Context(), BucketMonth.start(day)); err != nil {
		t.Fatal(err)
	}
}

func (s store) deleteHours(t *testing.T) {
	t.Helper()
	if s.sql != nil {
		err := s.sql.Write(t.Context(), func(tx *gorm.DB) error {
			for _, table := range []string{"analytics_hours", "analytics_latencies", "analytics_accounts"} {
				if err := tx.Exec("DELETE FROM " + table).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	} else if _, err := s.documents.Collection(hourDocuments).DeleteMany(t.Context(), bson.M{}); err != nil {
		t.Fatal(err)
	}
	s.rebuild(t)
}

func TestHoursAreHeldAgainstTheirEvents(t *testing.T) {
	found, mended := map[string]check.Count{}, func(n int64) check.Count { return check.Count{Found: n, Repaired: n} }
	for name, test := range map[string]struct {
		damage func(t *testing.T, s store)
		want   map[string]check.Count // of the repair
		left   map[string]check.Count
	}{
		"whole":          {func(*testing.T, store) {}, found, found},
		"a sum too low":  {func(t *testing.T, s store) { s.changeHour(t, "requests", -1) }, map[string]check.Count{"hour_lacks_events": mended(1)}, found},
		"no sums at all": {func(t *testing.T, s store) { s.deleteHours(t) }, map[string]check.Count{"hour_lacks_events": mended(2)}, found},
		"a sum too high": {func(t *testing.T, s store) { s.changeHour(t, "output_bytes", 5) },
			map[string]check.Count{"hour_exceeds_events": {Found: 1}}, map[string]check.Count{"hour_exceeds_events": {Found: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store) {
				r := s.repository()
				mustAppend(t, r, eventAt(day.Add(time.Minute)), eventAt(day.Add(2*time.Minute), ended(StatusFailed)),
					eventAt(day.Add(3*time.Hour), by(0)), eventAt(day.Add(3*time.Hour+time.Minute), by(2), of("image", "p", "m")))
				before := histogram(t, r, within(day, 24*time.Hour))
				total := totals(t, r, within(day, 24*time.Hour))
				test.damage(t, s)
				if diff := cmp.Diff(test.want, checkHours(t, s, check.Options{Repair: true}, everybody{})); diff != "" {
					t.Errorf("repair: %s", diff)
				}
				if diff := cmp.Diff(test.left, checkHours(t, s, check.Options{}, everybody{})); diff != "" {
					t.Errorf("after the repair: %s", diff)
				}
				if len(test.left) > 0 {
					return
				}
				if diff := cmp.Diff(total, totals(t, r, within(day, 24*time.Hour))); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(before, histogram(t, r, within(day, 24*time.Hour))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestHoursThatAreNotWholeAreNotCompared(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		r := s.repository()
		now := day.Add(48 * time.Hour)
		mustAppend(t, r, eventAt(day), eventAt(day.Add(time.Minute)), eventAt(day.Add(5*time.Hour)), eventAt(now.Add(-time.Minute)))
		if _, err := r.DeleteEvents(t.Context(), day.Add(time.Second), 10); err != nil { // as pruning does, in the middle of an hour
			t.Fatal(err)
		}
		mustAppend(t, r, eventAt(day.Add(-time.Hour)))
		if _, err := r.DeleteEvents(t.Context(), day.Add(time.Second), 10); err != nil {
			t.Fatal(err)
		}
		if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
			t.Errorf("%v", found)
		}
		s.changeHour(t, "requests", 1)
		if found := checkHours(t, s, check.Options{}, everybody{leaving: map[int64]bool{1: true}}); len(found) != 0 {
			t.Errorf("of an account being erased: %v", found)
		}
		if found := checkHours(t, s, check.Options{}, everybody{}); found["hour_exceeds_events"].Found != 1 {
			t.Errorf("the hour that is whole: %v", found)
		}
	})
}

func TestABatchThatWasLeftIsFoundAndAdded(t *testing.T) {
	s := mongoStore(t)
	e := eventAt(day)
	batch := batchDocument{ID: "left", At: time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Millisecond), Events: []string{e.ID}}
	r := NewMongoRepository(s.documents).(*mongoRepository)
	if err := r.insertBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if _, err := r.events().InsertOne(t.Context(), newEventDocument(&e, batch.ID)); err != nil {
		t.Fatal(err)
	}
	now := time.Now
	look := func(repair bool) map[string]check.Count {
		report := check.NewReport(check.Options{Repair: repair, Grace: time.Hour, Now: now})
		if err := Check(t.Context(), CheckedSums{r, 40000 * time.Hour}, report, everybody{}); err != nil {
			t.Fatal(err)
		}
		return report.Counts()
	}
	if found := look(false); len(found) != 1 || found["events_pending"].Found != 1 {
		t.Errorf("%v", found)
	}
	if found := look(true); found["events_pending"].Repaired != 1 {
		t.Errorf("%v", found)
	}
	if found := look(false); len(found) != 0 {
		t.Errorf("after the repair: %v", found)
	}
	if total := totals(t, r, within(day, time.Hour)); total.Requests != 1 {
		t.Errorf("%+v", total)
	}
}
