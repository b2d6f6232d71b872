package analytics

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"llmhist/platform/check"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestWhenAccountsCameIsHeldAgainstTheirHours(t *testing.T) {
	for name, damage := range map[string]struct {
		statement string
		users     []string // of the findings
	}{
		"nothing":                 {"SELECT 1", nil},
		"a first time too early":  {"UPDATE analytics_accounts SET first_ms = first_ms - 1 WHERE user_id = 1 AND service = ''", []string{"1"}},
		"a last time too late":    {"UPDATE analytics_accounts SET last_ms = last_ms + 86400000 WHERE user_id = 1 AND service = 'image'", []string{"1"}},
		"a last time too early":   {"UPDATE analytics_accounts SET last_ms = first_ms WHERE user_id = 1 AND service = 'chat'", []string{"1"}},
		"a service never used":    {"INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms) VALUES (2, 'speech', 1, 2)", []string{"2"}},
		"an account never seen":   {"INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms) VALUES (9, '', 1, 2)", []string{"9"}},
		"nobody as an account":    {"INSERT INTO analytics_accounts (user_id, service, first_ms, last_ms) VALUES (0, '', 1, 2)", []string{"0"}},
		"a service without a row": {"DELETE FROM analytics_accounts WHERE user_id = 2 AND service = 'chat'", []string{"2"}},
		"no rows at all":          {"DELETE FROM analytics_accounts", []string{"1", "2", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
				s := store{sql: db}
				mustAppend(t, s.repository(), eventAt(day), eventAt(day.Add(5*time.Hour)), eventAt(day.Add(time.Hour), of("image", "p", "m")),
					eventAt(day, by(2)), eventAt(day, by(3), of("", "", "")), eventAt(day, by(0)), eventAt(day, by(ErasedUser)))
				right := allRows(t, db)["analytics_accounts"]
				if err := db.Write(t.Context(), func(tx *gorm.DB) error { return tx.Exec(damage.statement).Error }); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(damage.users, differingAccounts(t, s, check.Options{}, everybody{})); diff != "" {
					t.Errorf("without a repair: %s", diff)
				}
				if diff := cmp.Diff(damage.users, differingAccounts(t, s, check.Options{Repair: true}, everybody{})); diff != "" {
					t.Errorf("with one: %s", diff)
				}
				if diff := cmp.Diff(right, allRows(t, db)["analytics_accounts"]); diff != "" {
					t.Errorf("after it (-right +repaired): %s", diff)
				}
				if found := checkHours(t, s, check.Options{}, everybody{}); len(found) != 0 {
					t.Errorf("after it: %v", found)
				}
			})
		})
	}
}

func TestAnAccountThatIsBeingErasedIsNotCompared(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		s := store{sql: db}
		mustAppend(t, s.repository(), eventAt(day), eventAt(day.AddDate(0, 1, 0)), eventAt(day, by(2)))
		moved, err := s.repository().(*gormRepository).detachHours(t.Context(), 1) // a month of two
		if err != nil || !moved {
			t.Fatal(moved, err)
		}
		leaving := everybody{leaving: map[int64]bool{1: true}}
		if found := differingAccounts(t, s, check.Options{}, leaving); found != nil {
			t.Errorf("while it is erased: %v", found)
		}
		if diff := cmp.Diff([]string{"1"}, differingAccounts(t, s, check.Options{}, everybody{})); diff != "" {
			t.Errorf("were it not: %s", diff)
		}
		if err := s.repository().DetachUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if found := differingAccounts(t, s, check.Options{}, everybody{}); found != nil {
			t.Errorf("once it is gone: %v", found)
		}
	})
}

// differingAccounts compares and returns the ids of the accounts that differ.
func differingAccounts(t *testing.T, s store, options check.Options, accounts check.Accounts) []string {
	t.Helper()
	options.Now = func() time.Time { return day.Add(48 * time.Hour) }
	report := check.NewReport(options)
	if err := Check(t.Context(), CheckedSums{s.repository(), 400 * 24 * time.Hour}, report, accounts); err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, finding := range report.Findings() {
		if finding.Code == "account_differs_from_hours" && finding.Service == "analytics" && finding.Repaired == options.Repair {
			users = append(users, finding.ID)
		}
	}
	return users
}

// twiceLooked is an engine in which accounts differ at the first look, and others
// at every later one.
type twiceLooked struct {
	checked
	looks [][]int64
}

func (s *twiceLooked) ListStaleAccounts(context.Context) ([]int64, error) {
	found := s.looks[0]
	s.looks = s.looks[1:]
	return found, nil
}

func (*twiceLooked) RebuildAccount(context.Context, int64) error { return nil }

func TestAnAccountThatDiffersAtOneOfTwoLooksIsBeingChanged(t *testing.T) {
	report := check.NewReport(check.Options{})
	c := &checker{store: &twiceLooked{looks: [][]int64{{1, 2, 4}, {2, 3, 4}}}, report: report, accounts: everybody{leaving: map[int64]bool{4: true}}}
	if err := c.compareAccounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := report.Findings(); len(found) != 1 || found[0].ID != "2" {
		t.Errorf("%+v", found)
	}
}
