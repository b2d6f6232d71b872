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
