package analytics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"llmhist/platform/check"
	"llmhist/platform/uid"
)

// checked is what a comparison needs of the engine that keeps events.
type checked interface {
	// FindKept returns the hours of the oldest event and of the oldest sums;
	// zero times where there are none.
	FindKept(ctx context.Context) (events, sums time.Time, err error)
	// NextHour returns the first hour at or after from, and before until, that
	// has events or sums; false when there is none.
	NextHour(ctx context.Context, from, until time.Time) (time.Time, bool, error)
	// ListHourEvents returns up to limit events of the hour that follow after,
	// "" = from the first, in order of id.
	ListHourEvents(ctx context.Context, hour time.Time, after string, limit int) ([]Event, error)
	// ListHourSums returns the stored sums of the hour and its histogram.
	ListHourSums(ctx context.Context, hour time.Time) (hourSums, error)
	// ListStaleMonths returns the months in which sums over longer times or over
	// everyone are not those of the hours, as of one moment. A month that is never
	// still for a moment is left out by an engine without snapshots.
	ListStaleMonths(ctx context.Context) ([]time.Time, error)
	// RebuildMonth makes the longer sums of a month again, from its hours. An engine
	// without transactions needs nobody to add to them meanwhile.
	RebuildMonth(ctx context.Context, month time.Time) error
	// AddSums adds to what is stored of the hour and of longer times, exactly once.
	AddSums(ctx context.Context, sums hourSums) error
	// ListPending returns the hours of events that are stored and may not be
	// added yet, and how many batches of them are older than before.
	ListPending(ctx context.Context, before time.Time) (hours map[int64]bool, old int, err error)
	// Recover adds what an interrupted process left.
	Recover(ctx context.Context) error
}

// hourSums are the sums of one hour by key.
type hourSums struct {
	hours     map[rollupKey]hourRow
	latencies map[latencyKey]int64
}

func newHourSums() hourSums {
	return hourSums{hours: map[rollupKey]hourRow{}, latencies: map[latencyKey]int64{}}
}

const (
	// checkEvents is how many events are read at a time.
	checkEvents = 2000
	// settledAfter is how long after its end an hour is compared: later than
	// events wait to be stored.
	settledAfter = 15 * time.Minute
)

// CheckedSums says where sums are and for how long their events are kept.
type CheckedSums struct {
	Repository Repository
	KeepEvents time.Duration
}

// Check compares the hourly sums with the events they were made of, for the
// hours of which every event is kept and which are old enough to be settled.
// With a report that repairs it adds events that the sums lack. It never lowers
// a sum: events that are not there any more are no proof against it. Before that
// it compares the sums over longer times and over everyone with those of the
// hours, by their totals of each month, and in SQL when each account came first
// and last, and makes them again where they differ.
func Check(ctx context.Context, sums CheckedSums, report *check.Report, accounts check.Accounts) error {
	store, ok := sums.Repository.(checked)
	if !ok {
		return fmt.Errorf("analytics: a %T cannot be compared", sums.Repository)
	}
	c := &checker{store: store, accounts: accounts, report: report, area: report.Area("analytics")}
	began := time.Now()
	defer func() { c.area.Took = time.Since(began) }()
	if err := c.pending(ctx); err != nil {
		return err
	}
	if err := c.compareMonths(ctx); err != nil {
		return err
	}
	if err := c.compareAccounts(ctx); err != nil {
		return err
	}
	from, err := c.firstWhole(ctx, sums.KeepEvents)
	if err != nil {
		return err
	}
	until := report.Now().UTC().Add(-settledAfter).Truncate(time.Hour)
	for {
		hour, found, err := store.NextHour(ctx, from, until)
		if err != nil || !found {
			return err
		}
		if err := c.compareHour(ctx, hour); err != nil {
			return err
		}
		from = hour.Add(time.Hour)
	}
}

type checker struct {
	store    checked
	accounts check.Accounts
	report   *check.Report
	area     *check.Area
}

// pending reports batches that an interrupted process left.
func (c *checker) pending(ctx context.Context) error {
	_, old, err := c.store.ListPending(ctx, c.report.Now().Add(-c.report.Grace))
	if err != nil || old == 0 {
		return err
	}
	return c.report.Add(ctx, check.Finding{Code: "events_pending", Service: "analytics",
		Detail: fmt.Sprintf("%d batches of events were stored and not added to the sums", old)},
		func(ctx context.Context) (string, error) { return "added", c.store.Recover(ctx) })
}

// compareMonths holds longer sums against the hours.
func (c *checker) compareMonths(ctx context.Context) error {
	months, err := c.store.ListStaleMonths(ctx)
	if err != nil {
		return err
	}
	for _, month := range months {
		err := c.report.Add(ctx, check.Finding{Code: "sums_differ_from_hours", Service: "analytics", ID: month.Format("2006-01"),
			Detail: "sums by day, by month or of everyone are not those of the hours"},
			func(ctx context.Context) (string, error) {
				return "made again from the hours", c.store.RebuildMonth(ctx, month)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// firstWhole returns the first hour of which no event can have been pruned.
func (c *checker) firstWhole(ctx context.Context, keep time.Duration) (time.Time, error) {
	events, sums, err := c.store.FindKept(ctx)
	if err != nil {
		return time.Time{}, err
	}
	kept := c.report.Now().UTC().Add(-keep).Truncate(time.Hour).Add(2 * time.Hour)
	if events.IsZero() {
		return kept, nil
	}
	if sums.IsZero() || !sums.Before(events) {
		return later(kept, events), nil // nothing was ever pruned
	}
	return later(kept, events.Add(time.Hour)), nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// compareHour compares one hour, and once more when it differs.
func (c *checker) compareHour(ctx context.Context, hour time.Time) error {
	found, err := c.differences(ctx, hour)
	if err != nil || found.none() {
		return err
	}
	if found, err = c.differences(ctx, hour); err != nil || found.none() {
		return err
	}
	moving, err := c.moving(ctx, hour, found)
	if err != nil || moving {
		return err
	}
	id := hour.Format(time.RFC3339)
	if n := len(found.surplus); n > 0 {
		err := c.report.Add(ctx, check.Finding{Code: "hour_exceeds_events", Service: "analytics", ID: id,
			Detail: fmt.Sprintf("%d of its sums are higher than its events: events were lost, and the sums are kept", n)}, nil)
		if err != nil {
			return err
		}
	}
	if found.lacking.empty() {
		return nil
	}
	return c.report.Add(ctx, check.Finding{Code: "hour_lacks_events", Service: "analytics", ID: id, Detail: "its sums are lower than its events"},
		func(ctx context.Context) (string, error) {
			return "events added to the sums", c.store.AddSums(ctx, found.lacking)
		})
}

// moving reports whether the hour is being changed: events of it are being
// added, or an account whose sums differ is being erased, which moves them step
// by step.
func (c *checker) moving(ctx context.Context, hour time.Time, found difference) (bool, error) {
	busy, _, err := c.store.ListPending(ctx, c.report.Now())
	if err != nil || busy[hour.Unix()] {
		return true, err
	}
	users := found.users()
	accounts, err := c.accounts.FindAccounts(ctx, users)
	for _, id := range users {
		if accounts.Known[id].Leaving {
			return true, err
		}
	}
	return false, err
}

func (s hourSums) empty() bool { return len(s.hours) == 0 && len(s.latencies) == 0 }

// difference is what the sums of an hour lack, and the keys of sums that have
// more than its events. Of a key that differs both ways nothing is lacking: what
// is true of it cannot be told.
type difference struct {
	lacking hourSums
	surplus map[rollupKey]bool
}

func (d difference) none() bool { return d.lacking.empty() && len(d.surplus) == 0 }

// users lists the accounts whose sums differ.
func (d difference) users() []int64 {
	distinct := map[int64]bool{}
	for key := range d.surplus {
		distinct[key.UserID] = true
	}
	for key := range d.lacking.hours {
		distinct[key.UserID] = true
	}
	for key := range d.lacking.latencies {
		distinct[key.UserID] = true
	}
	return slices.Collect(maps.Keys(distinct))
}

func (c *checker) differences(ctx context.Context, hour time.Time) (difference, error) {
	found := difference{lacking: newHourSums(), surplus: map[rollupKey]bool{}}
	truth, err := c.sum(ctx, hour)
	if err != nil {
		return found, err
	}
	stored, err := c.store.ListHourSums(ctx, hour)
	if err != nil {
		return found, err
	}
	for key, row := range truth.hours {
		left := row.Figures.less(stored.hours[key].Figures)
		if left.negative() {
			found.surplus[key] = true
		} else if left != (Figures{}) {
			found.lacking.hours[key] = hourRow{Key: key, Figures: left, FirstMS: row.FirstMS, LastMS: row.LastMS}
		}
	}
	for key := range stored.hours {
		if _, known := truth.hours[key]; !known {
			found.surplus[key] = true
		}
	}
	compareLatencies(truth, stored, found)
	for key := range found.surplus {
		found.lacking.forget(key)
	}
	return found, nil
}

func compareLatencies(truth, stored hourSums, found difference) {
	for key, n := range truth.latencies {
		switch have := stored.latencies[key]; {
		case n < have:
			found.surplus[key.rollupKey] = true
		case n > have:
			found.lacking.latencies[key] = n - have
		}
	}
	for key := range stored.latencies {
		if truth.latencies[key] == 0 {
			found.surplus[key.rollupKey] = true
		}
	}
}

func (s hourSums) forget(key rollupKey) {
	delete(s.hours, key)
	for latency := range s.latencies {
		if latency.rollupKey == key {
			delete(s.latencies, latency)
		}
	}
}

// sum adds up the events of an hour.
func (c *checker) sum(ctx context.Context, hour time.Time) (hourSums, error) {
	total, after := newHourSums(), ""
	for {
		events, err := c.store.ListHourEvents(ctx, hour, after, checkEvents)
		if err != nil || len(events) == 0 {
			return total, err
		}
		c.area.Rows.Add(int64(len(events)))
		after = events[len(events)-1].ID
		stored := make(map[string]bool, len(events))
		for i := range events {
			stored[events[i].ID] = true
		}
		total.add(rollUp(events, stored))
	}
}

func (s hourSums) add(hours []hourRow, latencies []latencyRow) {
	for _, row := range hours {
		have, known := s.hours[row.Key]
		if known {
			row.Figures.Add(have.Figures)
			row.FirstMS, row.LastMS = min(row.FirstMS, have.FirstMS), max(row.LastMS, have.LastMS)
		}
		s.hours[row.Key] = row
	}
	for _, row := range latencies {
		s.latencies[latencyKey{row.Key, row.Bucket}] += row.Requests
	}
}

// rows returns the sums as sorted rows.
func (s hourSums) rows() ([]hourRow, []latencyRow) {
	hours, latencies := []hourRow{}, []latencyRow{}
	for _, row := range s.hours {
		hours = append(hours, row)
	}
	for key, n := range s.latencies {
		latencies = append(latencies, latencyRow{key.rollupKey, key.bucket, n})
	}
	return sorted(hours), sorted(latencies)
}

// less returns f without other.
func (f Figures) less(other Figures) Figures {
	for _, field := range figureFields {
		*field.of(&f) -= *field.of(&other)
	}
	return f
}

func (f Figures) negative() bool {
	for _, field := range figureFields {
		if *field.of(&f) < 0 {
			return true
		}
	}
	return false
}

// idBounds returns texts around the ids of an hour's events, which hold their
// time, so that no engine has to look through all events.
func idBounds(hour time.Time) (from, until string) {
	return uid.Bound(hour.Add(-time.Minute)), uid.Bound(hour.Add(time.Hour + time.Minute))
}
