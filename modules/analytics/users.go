package analytics

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// The numbers of candidates that ListTopUsers tries of every day or month. The
// last one is all of them.
var candidateSteps = []int{50, 400, math.MaxInt32}

// coveredDays is up to how many days ListTopUsers looks for candidates by the
// day, and beyond that by the month.
const coveredDays = 14

// ranked is what listing the top users needs of an engine.
type ranked interface {
	// candidates returns the accounts that are among the first most of any ranking,
	// and how many requests any other account can have made in all of them.
	candidates(ctx context.Context, rankings []ranking, most int) (ids []int64, others int64, err error)
	// sumUsers sums the scope for these accounts, those with the most requests
	// first, then by id.
	sumUsers(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error)
	// sumRequests is sumUsers with no other figure than the requests, which takes
	// much less.
	sumRequests(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error)
}

// rankUsers does not add up everybody. It takes as candidates who made the
// most requests in any of the days or months that hold the period, sums the
// period for those, and knows of everybody else that they made no more than the
// last candidates together. Only when that could be enough for the list it takes
// more candidates.
func rankUsers(ctx context.Context, r ranked, scope Scope, limit int) ([]UserRollup, error) {
	if limit <= 0 || !scope.From.Before(scope.To) {
		return []UserRollup{}, ctx.Err()
	}
	if scope.UserID != nil {
		if *scope.UserID <= 0 {
			return []UserRollup{}, ctx.Err()
		}
		return r.sumUsers(ctx, scope, []int64{*scope.UserID})
	}
	rankings := rankingsOf(scope)
	var top []UserRollup
	for _, most := range candidateSteps {
		candidates, others, err := r.candidates(ctx, rankings, most)
		if err != nil {
			return nil, err
		}
		if top, err = r.sumRequests(ctx, scope, candidates); err != nil {
			return nil, err
		}
		top = top[:min(len(top), limit)]
		if others == 0 || len(top) == limit && top[limit-1].Requests > others {
			break
		}
	}
	ids := make([]int64, len(top))
	for i, user := range top {
		ids[i] = user.UserID
	}
	return r.sumUsers(ctx, scope, ids)
}

// ranking is a day or month in which accounts are ranked by their requests to a
// service, or with "" to all.
type ranking struct {
	grain   grain
	start   int64
	service string
}

// rankingsOf returns those that hold the scope.
func rankingsOf(scope Scope) []ranking {
	g, starts := grainDay, scope.cover(grainDay)
	if len(starts) > coveredDays {
		g, starts = grainMonth, scope.cover(grainMonth)
	}
	list := make([]ranking, len(starts))
	for i, start := range starts {
		list[i] = ranking{g, start, scope.Service}
	}
	return list
}

// sample returns the beginnings of the last of several months, or of the first,
// the middle and the last of several days.
func sample(p piece) []int64 {
	last := p.Grain.start(p.To - 1)
	if p.Grain == grainMonth {
		return []int64{last}
	}
	return []int64{p.From, grainDay.start(p.From + (last-p.From)/2), last}
}

// candidatesOf returns the accounts of rankings that were cut off after the first
// most, and how many requests any other account can have made in all of them.
func candidatesOf(rows []rankRow, most int) (ids []int64, others int64) {
	length, last := map[int64]int{}, map[int64]int64{} // by start
	for _, row := range rows {
		length[row.Start]++
		if n, known := last[row.Start]; !known || row.Requests < n {
			last[row.Start] = row.Requests
		}
		ids = append(ids, row.UserID)
	}
	for start, n := range length {
		if n >= most {
			others += last[start]
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), others
}

// mergeUsers adds up the rows of each account, those with the most requests
// first, then by id.
func mergeUsers(rows []UserRollup) []UserRollup {
	index := map[int64]int{}
	users := []UserRollup{}
	for _, row := range rows {
		i, known := index[row.UserID]
		if !known {
			i = len(users)
			index[row.UserID] = i
			users = append(users, UserRollup{UserID: row.UserID})
		}
		users[i].Figures.Add(row.Figures)
	}
	slices.SortFunc(users, func(a, b UserRollup) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.UserID, b.UserID))
	})
	return users
}
