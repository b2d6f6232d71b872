package analytics

import "time"

// grain is the length of time that a stored sum is over. Longer ones are made
// of whole shorter ones.
type grain int

// The grains, as they are stored.
const (
	grainHour  grain = 1
	grainDay   grain = 2 // of the UTC calendar, as the month
	grainMonth grain = 3
)

// everyoneUser is the user id of sums over all requests, those of nobody
// included. No account, event or hour of a user has it.
const everyoneUser int64 = -2

// bucket is the time that the grain stands for.
func (g grain) bucket() Bucket {
	switch g {
	case grainMonth:
		return BucketMonth
	case grainDay:
		return BucketDay
	default:
		return BucketHour
	}
}

// start returns the beginning of the grain that holds an hour, both in Unix
// seconds.
func (g grain) start(hour int64) int64 {
	return g.bucket().start(time.Unix(hour, 0).UTC()).Unix()
}

// piece is a part of a period that is made of whole grains.
type piece struct {
	Grain    grain
	From, To int64 // Unix seconds; To is not in it
}

// coarsest returns the longest grain whose sums fall into one step.
func (s Step) coarsest() grain {
	switch s {
	case StepHour:
		return grainHour
	case StepDay:
		return grainDay
	default:
		return grainMonth
	}
}

// pieces cuts a period into the fewest grains, none longer than coarsest: the
// months that are whole in it, the days beside them, and the hours at its ends.
func (p Period) pieces(coarsest grain) []piece {
	return cut(p.From.UTC(), p.To.UTC(), coarsest, nil)
}

// cut appends the pieces between two whole hours, in order.
func cut(from, to time.Time, longest grain, list []piece) []piece {
	if !from.Before(to) {
		return list
	}
	begin, end := from, to
	if longest > grainHour {
		bucket := longest.bucket()
		if begin = bucket.start(from); begin.Before(from) {
			begin = bucket.next(begin)
		}
		end = bucket.start(to)
		if !begin.Before(end) {
			return cut(from, to, longest-1, list)
		}
		list = cut(from, begin, longest-1, list)
	}
	list = append(list, piece{longest, begin.Unix(), end.Unix()})
	return cut(end, to, longest-1, list)
}

// cover returns the beginnings of the grains that hold any of the period.
func (p Period) cover(g grain) []int64 {
	var list []int64
	bucket := g.bucket()
	for at := bucket.start(p.From.UTC()); at.Before(p.To); at = bucket.next(at) {
		list = append(list, at.Unix())
	}
	return list
}
