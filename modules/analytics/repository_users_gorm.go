package analytics

import (
	"cmp"
	"context"
	"encoding/json"
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

// ListTopUsers finds candidates in analytics_ranks; see rankUsers.
func (r *gormRepository) ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error) {
	return rankUsers(ctx, r, scope, limit)
}

// maxRankings bounds the parts of one statement, of which SQLite takes 500; only
// periods of many years have more.
const maxRankings = 100

func (r *gormRepository) candidates(ctx context.Context, rankings []ranking, most int) (ids []int64, others int64, err error) {
	var found []rankRow
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
		found = append(found, rows...)
	}
	ids, others = candidatesOf(found, most)
	return ids, others, nil
}

func (r *gormRepository) sumUsers(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error) {
	return r.sumAmong(ctx, scope, ids, figureSums, func(p piece) part { return partOf(p, true) })
}

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
	users := make([]UserRollup, len(rows))
	for i, row := range rows {
		users[i] = UserRollup{row.UserID, row.Figures}
	}
	return mergeUsers(users), nil
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
