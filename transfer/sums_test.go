package transfer_test

import (
	"context"
	"testing"
	"time"

	"llmhist/modules/analytics"
	"llmhist/platform/check"
	"llmhist/transfer"
)

// staleMonths returns in how many months the figures of engines have longer sums
// that are not those of the hours.
func staleMonths(t *testing.T, e transfer.Engines) int64 {
	t.Helper()
	repository := analytics.NewRepository(e.DB)
	if e.Documents != nil {
		repository = analytics.NewMongoRepository(e.Documents)
	}
	report := check.NewReport(check.Options{Now: time.Now})
	err := analytics.Check(t.Context(), analytics.CheckedSums{Repository: repository, KeepEvents: 400 * 24 * time.Hour}, report, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	return report.Counts()["sums_differ_from_hours"].Found
}

// nobody has no accounts.
type nobody struct{}

func (nobody) FindAccounts(context.Context, []int64) (check.Accounting, error) {
	return check.Accounting{}, nil
}

// TestLongerSumsAreThoseOfTheHoursThatWereMoved restores into every combination of
// engines and copies from there to the others.
func TestLongerSumsAreThoseOfTheHoursThatWereMoved(t *testing.T) {
	f := newFixture(t)
	eachTarget(t, func(t *testing.T, first transfer.Engines) {
		if err := restore(t, f.write(t, t.TempDir()+"/o", schema(t, first.DB)), first); err != nil {
			t.Fatal(err)
		}
		if n := staleMonths(t, first); n != 0 {
			t.Errorf("%d months are wrong after the restoration", n)
		}
		second := embedded(t)
		if first.Documents == nil {
			second.Documents = larger(t).Documents
		}
		if err := copyTo(t, first, second); err != nil {
			t.Fatal(err)
		}
		if n := staleMonths(t, second); n != 0 {
			t.Errorf("%d months are wrong after the copy", n)
		}
		before, after := requestsOf(t, first), requestsOf(t, second)
		for user := range before {
			if before[user] != after[user] {
				t.Errorf("requests %v became %v", before, after)
			}
		}
	})
}
