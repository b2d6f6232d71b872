package analytics

import (
	"slices"
	"time"
)

// comparing bounds the comparison of all sums, and rebuilding the making of
// those of a month: both look at every hour.
const (
	comparing  = 10 * time.Minute
	rebuilding = 10 * time.Minute
)

// total is the sum of one kind of rows over a month.
type total struct {
	Figures
	Histogram
}

// monthKind is a month and what its sums are kept by: the five kinds of rows of
// longer sums, and the accounts' requests of analytics_ranks.
type monthKind struct {
	month    int64
	grain    grain
	everyone bool
	ranks    bool
}

type monthTotals map[monthKind]*total

func (m monthTotals) of(kind monthKind) *total {
	kind.month = grainMonth.start(kind.month)
	if m[kind] == nil {
		m[kind] = &total{}
	}
	return m[kind]
}

// kindsOf lists what the requests of an hour are summed in beside it.
func kindsOf(hour int64) []monthKind {
	return []monthKind{{hour, grainHour, true, false}, {hour, grainDay, true, false}, {hour, grainMonth, true, false},
		{hour, grainDay, false, false}, {hour, grainMonth, false, false}}
}

// differing returns the months of which any total is another one in other.
func (m monthTotals) differing(other monthTotals) []time.Time {
	var months []time.Time
	for _, all := range []monthTotals{m, other} {
		for kind := range all {
			if *m.of(kind) != *other.of(kind) {
				months = append(months, time.Unix(kind.month, 0).UTC())
			}
		}
	}
	slices.SortFunc(months, time.Time.Compare)
	return slices.Compact(months)
}
