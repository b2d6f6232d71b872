package analytics

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// coarseKey is what longer sums are kept by. The Hour of its rollupKey is the
// beginning of the grain.
type coarseKey struct {
	Grain grain
	rollupKey
}

// coarseRow is a row of analytics_sums.
type coarseRow struct {
	Key             coarseKey
	Figures         Figures
	Latencies       Histogram
	FirstMS, LastMS int64
}

func (r coarseRow) compare(other coarseRow) int {
	return cmp.Or(cmp.Compare(r.Key.Grain, other.Key.Grain), r.Key.rollupKey.compare(other.Key.rollupKey))
}

// coarsen sums hours by day and month of their users and, with everyone, by hour,
// day and month of all.
func coarsen(hours []hourRow, latencies []latencyRow, everyone bool) []coarseRow {
	rows := map[coarseKey]*coarseRow{}
	each := func(hour rollupKey, add func(*coarseRow)) {
		for _, key := range coarseKeys(hour, everyone) {
			if rows[key] == nil {
				rows[key] = &coarseRow{Key: key, FirstMS: math.MaxInt64, LastMS: math.MinInt64}
			}
			add(rows[key])
		}
	}
	for _, hour := range hours {
		each(hour.Key, func(row *coarseRow) {
			row.Figures.Add(hour.Figures)
			row.FirstMS, row.LastMS = min(row.FirstMS, hour.FirstMS), max(row.LastMS, hour.LastMS)
		})
	}
	for _, latency := range latencies {
		bucket := min(max(latency.Bucket, 0), latencyBuckets-1)
		each(latency.Key, func(row *coarseRow) { row.Latencies[bucket] += latency.Requests })
	}
	list := make([]coarseRow, 0, len(rows))
	for _, row := range rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, coarseRow.compare)
	return list
}

// coarseKeys lists the longer sums that an hour belongs to.
func coarseKeys(hour rollupKey, everyone bool) []coarseKey {
	list := make([]coarseKey, 0, 5)
	add := func(g grain, user int64) {
		key := coarseKey{g, hour}
		key.Hour, key.UserID = g.start(hour.Hour), user
		list = append(list, key)
	}
	add(grainDay, hour.UserID)
	add(grainMonth, hour.UserID)
	if everyone {
		add(grainHour, everyoneUser)
		add(grainDay, everyoneUser)
		add(grainMonth, everyoneUser)
	}
	return list
}

// rankRow is a row of analytics_ranks, of one service or, with "", of all.
type rankRow struct {
	Grain         grain
	UserID, Start int64
	Service       string
	Requests      int64
}

func (r rankRow) compare(other rankRow) int {
	return cmp.Or(cmp.Compare(r.Grain, other.Grain), cmp.Compare(r.UserID, other.UserID), cmp.Compare(r.Start, other.Start),
		cmp.Compare(r.Service, other.Service))
}

// rank sums the requests of accounts by day and month.
func rank(hours []hourRow) []rankRow {
	rows := map[rankRow]int64{} // by what is not requests
	for _, hour := range hours {
		if hour.Key.UserID <= 0 {
			continue
		}
		for _, g := range []grain{grainDay, grainMonth} {
			of := rankRow{Grain: g, UserID: hour.Key.UserID, Start: g.start(hour.Key.Hour)}
			rows[of] += hour.Requests
			if of.Service = hour.Key.Service; of.Service != "" {
				rows[of] += hour.Requests
			}
		}
	}
	list := make([]rankRow, 0, len(rows))
	for row, requests := range rows {
		row.Requests = requests
		list = append(list, row)
	}
	return sorted(list)
}

// accountRow is a row of analytics_accounts, of one service or, with "", of any.
type accountRow struct {
	UserID          int64
	Service         string
	FirstMS, LastMS int64
}

func (r accountRow) compare(other accountRow) int {
	return cmp.Or(cmp.Compare(r.UserID, other.UserID), cmp.Compare(r.Service, other.Service))
}

// accountsOf returns when accounts used a service.
func accountsOf(hours []hourRow) []accountRow {
	type key struct {
		user    int64
		service string
	}
	rows := map[key]accountRow{}
	for _, hour := range hours {
		if hour.Key.UserID <= 0 {
			continue
		}
		for _, service := range []string{"", hour.Key.Service} {
			k := key{hour.Key.UserID, service}
			row, known := rows[k]
			if !known {
				row = accountRow{k.user, k.service, hour.FirstMS, hour.LastMS}
			}
			row.FirstMS, row.LastMS = min(row.FirstMS, hour.FirstMS), max(row.LastMS, hour.LastMS)
			rows[k] = row
		}
	}
	return sorted(slices.Collect(maps.Values(rows)))
}
