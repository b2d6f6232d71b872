package analytics

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"llmhist/platform/database"
)

// CountUsers takes whoever came last in the period from an index. Of those who
// came before its end and after it, whether they came in it is looked up: first_ms
// can be too early while an account is being erased, which only costs a look.
func (r *gormRepository) CountUsers(ctx context.Context, scope Scope) (int64, error) {
	if !scope.From.Before(scope.To) {
		return 0, ctx.Err()
	}
	of, ofArgs := "a.service = ?", []any{scope.Service}
	if scope.UserID != nil {
		of, ofArgs = of+" AND a.user_id = ?", append(ofArgs, *scope.UserID)
	}
	came, cameArgs := cameIn(scope)
	if len(scope.cover(grainDay)) <= listedDays {
		came, cameArgs = cameWithin(scope)
	}
	from, to := scope.From.UnixMilli(), scope.To.UnixMilli()
	args := slices.Concat(ofArgs, []any{from, to}, ofArgs, []any{to, to}, cameArgs)
	var count int64
	err := r.db.Read(ctx).Raw("SELECT (SELECT COUNT(*) FROM analytics_accounts a WHERE "+of+" AND a.last_ms >= ? AND a.last_ms < ?)"+
		" + (SELECT COUNT(*) FROM analytics_accounts a WHERE "+of+" AND a.last_ms >= ? AND a.first_ms < ? AND "+came+")",
		args...).Scan(&count).Error
	return count, database.Fault(err)
}

// cameIn is the condition that account a has rows in scope. Most of those who came
// at all came in one of a few days or in the last month, who are listed once; the
// others are looked up one by one, in the longest times first: their rows are the
// fewest.
func cameIn(scope Scope) (condition string, args []any) {
	pieces := scope.pieces(grainMonth)
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(b.Grain, a.Grain) })
	listed, args := cameInOne(scope.Service, pieces[0].Grain, sample(pieces[0]))
	var selects []string
	for _, p := range pieces {
		if p.Grain != grainHour {
			selects = append(selects, "SELECT 1 FROM analytics_ranks s WHERE s.grain = ? AND s.user_id = a.user_id AND s.start >= ? AND s.start < ? AND s.service = a.service")
			args = append(args, int64(p.Grain), p.From, p.To)
			continue
		}
		hours := "SELECT 1 FROM analytics_hours s WHERE s.user_id = a.user_id AND s.hour >= ? AND s.hour < ?"
		args = append(args, p.From, p.To)
		if scope.Service != "" {
			hours += " AND s.service = a.service"
		}
		selects = append(selects, hours)
	}
	return "(+a.user_id IN (" + strings.Join(listed, " UNION ALL ") + ") OR EXISTS (" + strings.Join(selects, " UNION ALL ") + "))", args
}

// cameInOne returns queries for who came in one of the days or months that begin
// then.
func cameInOne(service string, g grain, starts []int64) (selects []string, args []any) {
	for _, start := range starts {
		selects = append(selects, "SELECT user_id FROM analytics_ranks WHERE grain = ? AND start = ? AND service = ?")
		args = append(args, int64(g), start, service)
	}
	return selects, args
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

// listedDays is up to how many days those who came in them are listed once
// instead of looked up one by one.
const listedDays = 8

// cameWithin is cameIn for a short time. The sign before user_id keeps SQLite
// from making the list before there is anybody to look for in it.
func cameWithin(scope Scope) (condition string, args []any) {
	var selects []string
	for _, p := range scope.pieces(grainDay) {
		if p.Grain == grainDay {
			var days []int64
			for day := p.From; day < p.To; day += 86400 {
				days = append(days, day)
			}
			listed, listedArgs := cameInOne(scope.Service, grainDay, days)
			selects, args = append(selects, listed...), append(args, listedArgs...)
			continue
		}
		hours := "SELECT user_id FROM analytics_hours WHERE hour >= ? AND hour < ?"
		args = append(args, p.From, p.To)
		if scope.Service != "" {
			hours += " AND service = ?"
			args = append(args, scope.Service)
		}
		selects = append(selects, hours)
	}
	return "+a.user_id IN (" + strings.Join(selects, " UNION ALL ") + ")", args
}

// The numbers of candidates that ListTopUsers tries of every day or month. The
// last one is all of them.
var candidateSteps = []int{50, 400, math.MaxInt32}

// coveredDays is up to how many days ListTopUsers looks for candidates by the
// day, and beyond that by the month.
const coveredDays = 14

// ListTopUsers does not add up everybody. It takes as candidates who made the
// most requests in any of the days or months that hold the period, sums the
// period for those, and knows of everybody else that they made no more than the
// last candidates together. Only when that could be enough for the list it takes
// more candidates.
func (r *gormRepository) ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error) {
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

// maxRankings bounds the parts of one statement, of which SQLite takes 500; only
// periods of many years have more.
const maxRankings = 100

// candidates returns the accounts that are among the first most of any ranking,
// and how many requests any other account can have made in all of them.
func (r *gormRepository) candidates(ctx context.Context, rankings []ranking, most int) (ids []int64, others int64, err error) {
	for part := range slices.Chunk(rankings, maxRankings) {
		selects := make([]string, len(part))
		var args []any
		for i, one := range part {
			selects[i] = "SELECT * FROM (SELECT user_id, requests, start FROM analytics_ranks WHERE grain = ? AND start = ? AND service = ? " +
				"ORDER BY requests DESC LIMIT ?) AS ranking"
			args = append(args, int64(one.grain), one.start, one.service, most)
		}
		var rows []rankRow
		if err := r.db.Read(ctx).Raw(strings.Join(selects, " UNION ALL "), args...).Scan(&rows).Error; err != nil {
			return nil, 0, database.Fault(err)
		}
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
	}
	slices.Sort(ids)
	return slices.Compact(ids), others, nil
}

// sumUsers sums the scope for these accounts, those with the most requests
// first, then by id.
func (r *gormRepository) sumUsers(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error) {
	return r.sumAmong(ctx, scope, ids, figureSums, func(p piece) part { return partOf(p, true) })
}

// sumRequests is sumUsers with no other figure than the requests, which takes
// much less.
func (r *gormRepository) sumRequests(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error) {
	return r.sumAmong(ctx, scope, ids, "CAST(SUM(requests) AS BIGINT) AS requests", func(p piece) part {
		one := partOf(p, true)
		if p.Grain != grainHour {
			one.table = "analytics_ranks"
		}
		return one
	})
}

func (r *gormRepository) sumAmong(ctx context.Context, scope Scope, ids []int64, sums string, at func(piece) part) ([]UserRollup, error) {
	if len(ids) == 0 {
		return []UserRollup{}, ctx.Err()
	}
	condition, list, err := r.among(ids)
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, p := range scope.pieces(grainMonth) {
		one := at(p)
		one.and(condition, list)
		if scope.Service != "" || one.table == "analytics_ranks" {
			one.and("service = ?", scope.Service)
		}
		parts = append(parts, one)
	}
	query, args := union(parts, func(p part) string { return p.sums([]string{"user_id", sums}, "user_id") })
	var rows []struct {
		UserID  int64
		Figures `gorm:"embedded"`
	}
	if err := r.db.Read(ctx).Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
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
	return users, nil
}

// among returns a condition for many ids and its one argument: a statement must
// not have as many parameters.
func (r *gormRepository) among(ids []int64) (condition, list string, err error) {
	text, err := json.Marshal(ids)
	if err != nil {
		return "", "", err
	}
	if r.db.Dialect() == database.Postgres {
		return "user_id = ANY(CAST(CAST(? AS TEXT) AS BIGINT[]))", strings.NewReplacer("[", "{", "]", "}").Replace(string(text)), nil
	}
	return "user_id IN (SELECT value FROM json_each(?))", string(text), nil
}
