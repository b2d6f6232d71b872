package analytics

import (
	"testing"
	"time"
)

// TestWhoIsNeverAmongTheFirstOfADayCanBeTheFirstOfThemAll has an account that
// comes every day with a little less than many others that come on one day each.
func TestWhoIsNeverAmongTheFirstOfADayCanBeTheFirstOfThemAll(t *testing.T) {
	const days, busy, faithful = 3, 3, 9999
	eachStore(t, func(t *testing.T, s store) {
		r := s.repository()
		var events []Event
		for d := range days {
			at := day.AddDate(0, 0, d)
			for account := range candidateSteps[0] {
				for range busy {
					events = append(events, eventAt(at, by(int64(1+d*1000+account))))
				}
			}
			for range busy - 1 {
				events = append(events, eventAt(at, by(faithful)))
			}
		}
		persist(t, func() error { return r.Append(t.Context(), events) })
		settled(t, s)
		period := within(day, days*24*time.Hour)
		top, err := r.ListTopUsers(t.Context(), period, 2)
		if err != nil || len(top) != 2 || top[0].UserID != faithful || top[0].Requests != days*(busy-1) || top[1].UserID != 1 || top[1].Requests != busy {
			t.Errorf("%+v, %v", top, err)
		}
	})
}

// TestWhoCameInAPeriodAndLaterIsCountedInIt has accounts that came in parts of a
// period that are not looked at first, and one that came only around it.
func TestWhoCameInAPeriodAndLaterIsCountedInIt(t *testing.T) {
	month := BucketMonth.start(day)
	eachStore(t, func(t *testing.T, s store) {
		r := s.repository()
		late := month.AddDate(1, 0, 0)
		mustAppend(t, r,
			eventAt(month.AddDate(0, 0, 1), by(1)), eventAt(late, by(1)),
			eventAt(month.AddDate(0, 0, 9).Add(-time.Hour), by(2)), eventAt(late, by(2)),
			eventAt(month.Add(-time.Millisecond), by(3)), eventAt(late, by(3)),
			eventAt(month.AddDate(0, 2, 3), by(4)))
		for _, c := range []struct {
			name     string
			from, to time.Time
			want     int64
		}{
			{"days", month, month.AddDate(0, 0, 10), 2},
			{"months", month, month.AddDate(0, 3, 0), 3},
			{"hours at the end of days", month, month.AddDate(0, 0, 9).Add(-time.Minute).Truncate(time.Hour).Add(time.Hour), 2},
			{"hours at the beginning of days", month.Add(-time.Hour), month.AddDate(0, 0, 1), 1},
			{"hours alone", month.AddDate(0, 0, 1), month.AddDate(0, 0, 1).Add(time.Hour), 1},
			{"nobody's days", month.AddDate(0, 0, 2), month.AddDate(0, 0, 8), 0},
		} {
			scope := Scope{Period: Period{From: c.from, To: c.to}}
			if n, err := r.CountUsers(t.Context(), scope); err != nil || n != c.want {
				t.Errorf("%s: %d accounts, %v; want %d", c.name, n, err, c.want)
			}
			scope.Service = "chat"
			if n, err := r.CountUsers(t.Context(), scope); err != nil || n != c.want {
				t.Errorf("%s of a service: %d accounts, %v; want %d", c.name, n, err, c.want)
			}
		}
	})
}
