package analytics

import (
	"fmt"
	"time"

	"llmhist/platform/fault"
)

// The bounds of the period a question may be about.
const (
	defaultPeriod = 30 * 24 * time.Hour
	maxPeriod     = 400 * 24 * time.Hour
	// maxPoints bounds the answer of a series: at most 83 days by the hour.
	maxPoints = 2000
)

var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Period is a span of whole UTC hours: From is in it, To is not.
type Period struct{ From, To time.Time }

// periodOf returns the period between two optional times, widened to whole
// hours. Without to it ends now; without from it is 30 days long.
func periodOf(from, to *time.Time, now time.Time, fields *fault.Fields) Period {
	end := now.UTC()
	if to != nil {
		end = to.UTC()
	}
	begin := end.Add(-defaultPeriod)
	if from != nil {
		begin = from.UTC()
	}
	switch {
	case begin.Before(earliest):
		fields.Add("from", "out_of_range", "must not be before 1970")
	case end.After(latest):
		fields.Add("to", "out_of_range", "must not be after the year 2199")
	case !begin.Before(end):
		fields.Add("from", "out_of_range", "must be before to, which is now unless sent")
	case end.Sub(begin) > maxPeriod:
		fields.Add("from", "period_too_long", "must be at most 400 days before to")
	}
	return Period{From: begin.Truncate(time.Hour), To: end.Add(time.Hour - 1).Truncate(time.Hour)}
}

// previous returns the period of the same length that ends where p begins.
func (p Period) previous() Period { return Period{From: p.From.Add(-p.To.Sub(p.From)), To: p.From} }

// Bucket is the grain of a series.
type Bucket string

// The buckets, all by the UTC calendar. Weeks start on Monday (ISO 8601).
const (
	BucketHour  Bucket = "hour"
	BucketDay   Bucket = "day"
	BucketWeek  Bucket = "week"
	BucketMonth Bucket = "month"
)

func (b Bucket) valid() bool {
	return b == BucketHour || b == BucketDay || b == BucketWeek || b == BucketMonth
}

// step returns the coarsest grain that can be folded into b.
func (b Bucket) step() Step {
	if b == BucketHour {
		return StepHour
	}
	return StepDay
}

// start returns where the bucket that contains t begins.
func (b Bucket) start(t time.Time) time.Time {
	year, month, day := t.Date()
	switch b {
	case BucketHour:
		return t.Truncate(time.Hour)
	case BucketWeek:
		sinceMonday := (int(t.Weekday()) + 6) % 7
		return time.Date(year, month, day-sinceMonday, 0, 0, 0, 0, time.UTC)
	case BucketMonth:
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
}

// next returns where the bucket after the one that begins at start begins.
func (b Bucket) next(start time.Time) time.Time {
	switch b {
	case BucketHour:
		return start.Add(time.Hour)
	case BucketWeek:
		return start.AddDate(0, 0, 7)
	case BucketMonth:
		return start.AddDate(0, 1, 0)
	default:
		return start.AddDate(0, 0, 1)
	}
}

// starts lists the beginnings of all buckets that p touches. The first can lie
// before p.From. More than maxPoints of them are an Invalid fault.
func (b Bucket) starts(p Period) ([]time.Time, error) {
	var list []time.Time
	for at := b.start(p.From); at.Before(p.To); at = b.next(at) {
		if len(list) == maxPoints {
			var fields fault.Fields
			fields.Add("bucket", "too_many_points", fmt.Sprintf("would make more than %d points; take a coarser one or a shorter period", maxPoints))
			return nil, fields.Err()
		}
		list = append(list, at)
	}
	return list, nil
}
