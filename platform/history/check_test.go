package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"llmhist/platform/check"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// shifting is a table whose one row comes after it was listed, and after it was
// looked for so many times.
type shifting struct {
	history.Rows
	row   history.Entry
	after int
}

func (s *shifting) ListEntries(context.Context, string, int) ([]history.Entry, error) {
	return nil, nil
}

func (s *shifting) ListErasing(context.Context, string, int) ([]history.Erasing, error) {
	return nil, nil
}

func (s *shifting) Erasing(context.Context, string) (bool, error) { return false, nil }

func (s *shifting) FindEntry(context.Context, string) (history.Entry, error) {
	if s.after--; s.after >= 0 {
		return history.Entry{}, fault.NotFoundf("There is none.")
	}
	return s.row, nil
}

// plain are documents that hold an id.
type plain struct{ history.Documents }

func (plain) MadeNames() []string                               { return nil }
func (plain) Differences(history.Entry, history.Entry) []string { return nil }
func (plain) ReadRecord(id string, data []byte) (history.Entry, error) {
	var record struct{ ID string }
	if err := json.Unmarshal(data, &record); err != nil || record.ID != id {
		return history.Entry{}, errors.New("not the record")
	}
	return history.Entry{ID: id, Finished: true}, nil
}

type nobody struct{}

func (nobody) FindAccounts(context.Context, []int64) (check.Accounting, error) {
	return check.Accounting{}, nil
}

func TestWhatChangesWhileItIsComparedIsNoDifference(t *testing.T) {
	for name, test := range map[string]struct {
		after int // how often the row is not there when it is looked for
		want  int64
	}{
		"the row came after the rows were listed":  {0, 0},
		"the row came while the request was read":  {1, 0},
		"the row came while it was read once more": {2, 1}, // both looks saw the same
		"the row never comes":                      {1 << 30, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := history.New(testkit.Bucket(t, "b"), "image")
			id := uid.New(time.Now())
			for _, err := range []error{
				ledger.WriteInput(t.Context(), id, struct{}{}), ledger.WriteRecord(t.Context(), id, map[string]string{"ID": id}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			report := check.NewReport(check.Options{})
			rows := &shifting{row: history.Entry{ID: id, Finished: true}, after: test.after}
			if err := ledger.Check(t.Context(), report, history.CheckDeps{Rows: rows, Documents: plain{}, Accounts: nobody{}}); err != nil {
				t.Fatal(err)
			}
			if found := report.Counts()["row_missing"].Found; found != test.want || report.Left() != test.want {
				t.Errorf("%d found, want %d: %v", found, test.want, report.Findings())
			}
		})
	}
}
