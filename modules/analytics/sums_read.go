package analytics

import (
	"cmp"
	"slices"
	"time"
)

// sumRow is the figures of a part of a group.
type sumRow struct {
	Start                    int64
	Service, Provider, Model string
	Figures
}

func (r sumRow) rollup(step Step) Rollup {
	rollup := Rollup{Service: r.Service, Provider: r.Provider, Model: r.Model, Figures: r.Figures}
	if step != StepNone {
		rollup.Start = time.Unix(r.Start, 0).UTC()
	}
	return rollup
}

// mergeRows adds up the rows of each group and sorts the groups here, because
// collations differ between engines.
func mergeRows(rows []sumRow, step Step) []Rollup {
	type key struct {
		start                    int64
		service, provider, model string
	}
	index := make(map[key]int, len(rows))
	list := make([]Rollup, 0, len(rows))
	for _, row := range rows {
		k := key{row.Start, row.Service, row.Provider, row.Model}
		if i, known := index[k]; known {
			list[i].Figures.Add(row.Figures)
			continue
		}
		index[k] = len(list)
		list = append(list, row.rollup(step))
	}
	slices.SortFunc(list, compareRollups)
	return list
}

// latencyGroups are histograms by service, provider and model.
type latencyGroups map[[3]string]*Histogram

func (g latencyGroups) of(service, provider, model string) *Histogram {
	key := [3]string{service, provider, model}
	if g[key] == nil {
		g[key] = &Histogram{}
	}
	return g[key]
}

func (g latencyGroups) list() []LatencyRollup {
	list := []LatencyRollup{}
	for key, histogram := range g {
		if *histogram != (Histogram{}) {
			list = append(list, LatencyRollup{Service: key[0], Provider: key[1], Model: key[2], Latencies: *histogram})
		}
	}
	slices.SortFunc(list, func(a, b LatencyRollup) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return list
}
