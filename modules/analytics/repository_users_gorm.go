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

// CountUsers takes whoever came last in the period from analytics_accounts
// alone; of those who came before it and after it, whether they came in it is
// looked up. first_ms can be too early while an account is being erased, which
// only costs a look.
func (r *gormRepository) CountUsers(ctx context.Context, scope Scope) (int64, error) {
	if !scope.From.Before(scope.To) {
		return 0, ctx.Err()
	}
	conditions := "a.user_id > 0 AND a.last_ms >= ? AND a.first_ms < ?"
	args := []any{scope.From.UnixMilli(), scope.To.UnixMilli()}
	if scope.UserID != nil {
		conditions += " AND a.user_id = ?"
		args = append(args, *scope.UserID)
	}
	if scope.Service != "" {
		conditions += " AND a.service = ?"
		args = append(args, scope.Service)
	}
	came := []string{"a.last_ms < ?"}
	args = append(args, scope.To.UnixMilli())
	for _, p := range scope.pieces(grainMonth) {
		table, where := "analytics_ranks", "s.grain = ? AND s.start >= ? AND s.start < ?"
		if p.Grain == grainHour {
			table, where = "analytics_hours", "s.hour >= ? AND s.hour < ?"
		} else {
			args = append(args, int64(p.Grain))
		}
		args = append(args, p.From, p.To)
		came = append(came, "EXISTS (SELECT 1 FROM "+table+" s WHERE "+where+" AND s.user_id = a.user_id AND s.service = a.service)")
	}
	var count int64
	err := r.db.Read(ctx).Raw("SELECT COUNT(DISTINCT a.user_id) FROM analytics_accounts a WHERE "+conditions+
		" AND ("+strings.Join(came, " OR ")+")", args...).Scan(&count).Error
	return count, database.Fault(err)
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
	lists, err := r.rankings(ctx, scope)
	if err != nil {
		return nil, err
	}
	var top []UserRollup
	for _, most := range candidateSteps {
		candidates, others, err := r.candidates(ctx, lists, most)
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

// ranking names the accounts that used a service in a day or month.
type ranking struct {
	grain   grain
	start   int64
	service string
}

// rankings returns those that hold the scope.
func (r *gormRepository) rankings(ctx context.Context, scope Scope) ([]ranking, error) {
	g := grainMonth
	if len(scope.cover(grainDay)) <= coveredDays {
		g = grainDay
	}
	starts := scope.cover(g)
	services := []string{scope.Service}
	if scope.Service == "" {
		services = nil
		err := r.db.Read(ctx).Raw("SELECT DISTINCT service FROM analytics_sums WHERE grain = ? AND user_id = ? AND start >= ? AND start <= ?",
			int64(g), everyoneUser, starts[0], starts[len(starts)-1]).Scan(&services).Error
		if err != nil {
			return nil, database.Fault(err)
		}
	}
	var list []ranking
	for _, start := range starts {
		for _, service := range services {
			list = append(list, ranking{g, start, service})
		}
	}
	return list, nil
}

// maxRankings bounds the parts of one statement; SQLite takes 500.
const maxRankings = 100

// candidates returns the accounts that are among the first most of any ranking,
// and how many requests any other account can have made in all of them.
func (r *gormRepository) candidates(ctx context.Context, rankings []ranking, most int) (ids []int64, others int64, err error) {
	for part := range slices.Chunk(rankings, maxRankings) {
		selects := make([]string, len(part))
		var args []any
		for i, one := range part {
			selects[i] = "SELECT * FROM (SELECT user_id, requests, start, service FROM analytics_ranks WHERE grain = ? AND start = ? AND service = ? " +
				"ORDER BY requests DESC LIMIT ?) AS ranking"
			args = append(args, int64(one.grain), one.start, one.service, most)
		}
		var rows []rankRow
		if err := r.db.Read(ctx).Raw(strings.Join(selects, " UNION ALL "), args...).Scan(&rows).Error; err != nil {
			return nil, 0, database.Fault(err)
		}
		length, last := map[ranking]int{}, map[ranking]int64{}
		for _, row := range rows {
			of := ranking{start: row.Start, service: row.Service}
			length[of]++
			if n, known := last[of]; !known || row.Requests < n {
				last[of] = row.Requests
			}
			ids = append(ids, row.UserID)
		}
		for of, n := range length {
			if n >= most {
				others += last[of]
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
		if scope.Service != "" {
			one.and("service = ?", scope.Service)
		}
		parts = append(parts, one)
	}
	query, args := union(parts, func(part) string { return "user_id, " + sums }, []string{"user_id"})
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
