package analytics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/check"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// startLog returns what a server that has started on the repository says.
func startLog(t *testing.T, ctx context.Context, repository Repository, now time.Time) string {
	t.Helper()
	var log bytes.Buffer
	m := &Module{deps: Deps{Repository: repository, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }}}
	m.WarnIfBehind(ctx)
	return log.String()
}

// addAsBefore stores the hours of events as releases before the longer sums did.
func addAsBefore(t *testing.T, db *database.DB, events ...Event) {
	t.Helper()
	stored := map[string]bool{}
	for _, e := range events {
		stored[e.ID] = true
	}
	hours, latencies := rollUp(events, stored)
	err := db.Write(t.Context(), func(tx *gorm.DB) error {
		if err := addHours(database.In(tx), hours); err != nil {
			return err
		}
		return addLatencies(database.In(tx), latencies)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAServerOnSQLSaysThatAReleaseWithoutLongerSumsWasHere(t *testing.T) {
	now := day.AddDate(0, 0, 20)
	older, erased := func(e ...Event) func(*testing.T, store) {
		return func(t *testing.T, s store) { addAsBefore(t, s.sql, e...) }
	}, func(t *testing.T, s store) {
		if err := s.repository().DetachUser(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		newer   []Event // stored by this release
		then    func(t *testing.T, s store)
		lacking string // in the log; "" = it says nothing
	}{
		"nothing is stored":                 {nil, func(*testing.T, store) {}, ""},
		"only this release was here":        {[]Event{eventAt(now), eventAt(now.Add(-time.Hour), by(0))}, func(*testing.T, store) {}, ""},
		"an account was erased":             {[]Event{eventAt(now), eventAt(now, by(2))}, erased, ""},
		"in an hour that has others":        {[]Event{eventAt(now)}, older(eventAt(now, by(2))), "hours=1"},
		"in hours in which it was alone":    {[]Event{eventAt(now)}, older(eventAt(now.Add(-5*time.Hour)), eventAt(now.Add(time.Hour))), "hours=2"},
		"as the only one":                   {nil, older(eventAt(now)), "hours=1"},
		"days before the newest hour":       {[]Event{eventAt(now)}, older(eventAt(now.Add(-2 * 24 * time.Hour))), "hours=1"},
		"too long before the newest hour":   {[]Event{eventAt(now)}, older(eventAt(now.Add(-4 * 24 * time.Hour))), ""},
		"before a time of rest":             {nil, older(eventAt(now.AddDate(0, 0, -15))), "hours=1"},
		"beside a clock that was far ahead": {[]Event{eventAt(now), eventAt(now.AddDate(1, 0, 0))}, older(eventAt(now.Add(-time.Hour))), "hours=1"},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
				s := store{sql: db}
				mustAppend(t, s.repository(), test.newer...)
				test.then(t, s)
				said := startLog(t, t.Context(), s.repository(), now)
				if test.lacking == "" {
					if said != "" {
						t.Error(said)
					}
					return
				}
				if strings.Count(said, "\n") != 1 || !strings.Contains(said, "level=ERROR") || !strings.Contains(said, "llmhist check --repair") ||
					!strings.Contains(said, test.lacking) {
					t.Errorf("%q", said)
				}
				checkHours(t, s, check.Options{Repair: true}, everybody{})
				if said := startLog(t, t.Context(), s.repository(), now); said != "" {
					t.Errorf("after the repair: %s", said)
				}
			})
		})
	}
}

func TestWhatIsAddedMeanwhileIsNoReleaseThatWasHere(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		r := NewRepository(db)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			for ctx.Err() == nil {
				if err := r.Append(t.Context(), []Event{eventAt(day), eventAt(day.Add(time.Hour), by(2))}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for range 50 {
			if said := startLog(t, t.Context(), r, day); said != "" {
				t.Error(said)
				break
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// unreadable is an engine that does not answer.
type unreadable struct{ Repository }

func (unreadable) CountLackingHours(context.Context, time.Time) (int64, error) {
	return 0, errors.New("the database is away")
}

func TestAComparisonThatFailsIsToldOfUnlessTheServerEnds(t *testing.T) {
	if said := startLog(t, t.Context(), unreadable{}, day); !strings.Contains(said, "level=WARN") || !strings.Contains(said, "the database is away") {
		t.Errorf("%q", said)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if said := startLog(t, ended, unreadable{}, day); said != "" {
		t.Errorf("to a server that ends: %s", said)
	}
}
