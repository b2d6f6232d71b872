package check_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"llmhist/platform/check"
	"llmhist/platform/fault"
)

func TestAnOwnerIsErasedOnlyWhereThisDatabaseHadIt(t *testing.T) {
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	joined := since.Add(24 * time.Hour)
	known := check.Accounting{Known: map[int64]check.Account{1: {CreatedAt: joined}, 2: {CreatedAt: joined, Leaving: true}}, LastID: 5, Since: since}
	for name, test := range map[string]struct {
		owner int64
		at    time.Time
		want  check.Ownership
	}{
		"an account":                     {1, joined.Add(time.Hour), check.Owned},
		"an account, by another clock":   {1, joined.Add(-time.Minute), check.Owned},
		"older than its account":         {1, joined.Add(-time.Hour), check.Unknown},
		"an account being erased":        {2, joined.Add(time.Hour), check.Leaving},
		"an erased account":              {3, joined, check.Erased},
		"an id that was never given":     {6, joined, check.Unknown},
		"older than the database":        {3, since.Add(-time.Hour), check.Unknown},
		"an id that no account ever has": {0, joined, check.Unknown},
		"the id of erased accounts":      {-1, joined, check.Unknown},
	} {
		if got := known.Of(&test.owner, test.at); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	if got := known.Of(nil, since.Add(-time.Hour)); got != check.Owned {
		t.Errorf("nobody's: %d", got)
	}
}

func TestAReportKeepsAThousandOfACodeAndCountsAll(t *testing.T) {
	report := check.NewReport(check.Options{Repair: true})
	for i := range 1500 {
		var repair check.Repair
		switch i % 3 {
		case 0:
			repair = func(context.Context) (string, error) { return "done", nil }
		case 1:
			repair = func(context.Context) (string, error) {
				return "", fault.Wrap(errors.New("a secret"), fault.Unavailable, "storage_unavailable", "The store is away.")
			}
		}
		if err := report.Add(t.Context(), check.Finding{Code: "a", ID: strconv.Itoa(i)}, repair); err != nil {
			t.Fatal(err)
		}
	}
	list := report.Findings()
	if len(list) != 1000 || report.Counts()["a"] != (check.Count{Found: 1500, Repaired: 500}) || report.Left() != 1000 {
		t.Errorf("%d kept, %v, %d left", len(list), report.Counts(), report.Left())
	}
	for _, one := range list {
		if one.Failure != "" && one.Failure != "storage_unavailable: The store is away." {
			t.Fatalf("a failure says %q", one.Failure)
		}
	}
}

func TestACheckThatIsInterruptedEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	report := check.NewReport(check.Options{Repair: true})
	err := report.Add(ctx, check.Finding{Code: "a"}, func(context.Context) (string, error) { cancel(); return "", errors.New("cut off") })
	if !errors.Is(err, context.Canceled) || report.Left() != 0 {
		t.Errorf("%v, %d left", err, report.Left())
	}
}
