package analytics

import (
	"context"
	"strings"
	"time"

	"llmhist/platform/database"
)

// figureSums reads Figures; the casts undo PostgreSQL's widening of SUM.
const figureSums = `CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(failed) AS BIGINT) AS failed,
	CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
	CAST(SUM(input_bytes) AS BIGINT) AS input_bytes, CAST(SUM(output_bytes) AS BIGINT) AS output_bytes,
	CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd,
	CAST(SUM(latency_sum_ms) AS BIGINT) AS latency_sum_ms, CAST(SUM(latency_count) AS BIGINT) AS latency_count,
	CAST(SUM(ttft_sum_ms) AS BIGINT) AS ttft_sum_ms, CAST(SUM(ttft_count) AS BIGINT) AS ttft_count`

// part is where the sums of one piece of a scope are. Hours of single users are
// in tables of their own.
type part struct {
	grain grain
	table string
	start string // the column that holds the beginning of a row's time
	where string
	args  []any
}

func partOf(p piece, byUser bool) part {
	if p.Grain == grainHour && byUser {
		return part{p.Grain, "analytics_hours", "hour", "hour >= ? AND hour < ?", []any{p.From, p.To}}
	}
	return part{p.Grain, "analytics_sums", "start", "grain = ? AND start >= ? AND start < ?", []any{int64(p.Grain), p.From, p.To}}
}

// startBy returns the expression for the beginning of the step that a row
// belongs to. Where it is a column of the key, nothing has to be sorted.
func (p *part) startBy(step Step) string {
	switch {
	case step == StepNone:
		return "0"
	case step == StepDay && p.grain < grainDay:
		return p.start + " - " + p.start + " % 86400"
	default:
		return p.start
	}
}

// holds reports whether each row of the part is a group by itself.
func (p *part) holds(group Group) bool {
	return group.Service && group.Model && (group.Step == StepDay && p.grain == grainDay || group.Step == StepHour && p.grain == grainHour)
}

func (p *part) and(condition string, arg any) {
	p.where += " AND " + condition
	p.args = append(p.args, arg)
}

// partsOf returns where the sums in scope are, in rows that are not longer than
// coarsest.
func partsOf(scope Scope, coarsest grain) []part {
	user := everyoneUser
	if scope.UserID != nil {
		user = *scope.UserID
	}
	var list []part
	for _, p := range scope.pieces(coarsest) {
		one := partOf(p, scope.UserID != nil)
		one.and("user_id = ?", user)
		if scope.Service != "" {
			one.and("service = ?", scope.Service)
		}
		list = append(list, one)
	}
	return list
}

// union selects from all parts at once. What of several parts belongs to one
// group is still to be added up.
func union(parts []part, selectFrom func(part) string) (query string, args []any) {
	selects := make([]string, len(parts))
	for i, p := range parts {
		selects[i] = selectFrom(p)
		args = append(args, p.args...)
	}
	return strings.Join(selects, " UNION ALL "), args
}

// sums selects columns of a part by groups.
func (p *part) sums(columns []string, groups ...string) string {
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + p.table + " WHERE " + p.where
	if len(groups) > 0 {
		query += " GROUP BY " + strings.Join(groups, ", ")
	}
	return query + " HAVING SUM(requests) > 0"
}

func (r *gormRepository) ListRollups(ctx context.Context, scope Scope, group Group) ([]Rollup, error) {
	parts := partsOf(scope, group.Step.coarsest())
	if len(parts) == 0 {
		return []Rollup{}, ctx.Err()
	}
	groups := groupColumns(group)
	query, args := union(parts, func(p part) string {
		columns := append([]string{p.startBy(group.Step) + " AS start"}, groups...)
		if p.holds(group) {
			return "SELECT " + strings.Join(append(columns, figureNames()...), ", ") + " FROM " + p.table + " WHERE " + p.where + " AND requests > 0"
		}
		columns = append(columns, figureSums)
		if group.Step == StepNone {
			return p.sums(columns, groups...)
		}
		return p.sums(columns, append([]string{"1"}, groups...)...)
	})
	rows, err := r.readSums(ctx, group, query, args)
	if err != nil {
		return nil, database.Fault(err)
	}
	return mergeRows(rows, group.Step), nil
}

// readSums reads rows of a start, the columns of the group and the figures. A year
// by days and models has thousands: GORM would look for the fields of each anew.
func (r *gormRepository) readSums(ctx context.Context, group Group, query string, args []any) ([]sumRow, error) {
	found, err := r.db.Read(ctx).Raw(query, args...).Rows()
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	list := make([]sumRow, 0, 64)
	var row sumRow
	into := row.columns(group)
	for found.Next() {
		if err := found.Scan(into...); err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, found.Err()
}

// ListLatencies reads histograms from the rows of longer sums, which have them
// beside the figures, and for the hours of a user from analytics_latencies.
func (r *gormRepository) ListLatencies(ctx context.Context, scope Scope, group Group) ([]LatencyRollup, error) {
	found := latencyGroups{}
	var coarse []part
	for _, p := range partsOf(scope, grainMonth) {
		if p.table == "analytics_sums" {
			coarse = append(coarse, p)
			continue
		}
		p.table = "analytics_latencies"
		if err := r.addHourLatencies(ctx, p, group, found); err != nil {
			return nil, database.Fault(err)
		}
	}
	if err := r.addCoarseLatencies(ctx, coarse, group, found); err != nil {
		return nil, database.Fault(err)
	}
	return found.list(), ctx.Err()
}

func (r *gormRepository) addHourLatencies(ctx context.Context, p part, group Group, found latencyGroups) error {
	groups := append(groupColumns(group), "bucket")
	query, args := union([]part{p}, func(p part) string {
		return p.sums(append(groups, "CAST(SUM(requests) AS BIGINT) AS requests"), groups...)
	})
	var rows []struct {
		Service, Provider, Model string
		Bucket                   int
		Requests                 int64
	}
	if err := r.db.Read(ctx).Raw(query, args...).Scan(&rows).Error; err != nil {
		return err
	}
	for _, row := range rows {
		found.of(row.Service, row.Provider, row.Model)[min(max(row.Bucket, 0), latencyBuckets-1)] += row.Requests
	}
	return nil
}

// bucketSums reads the buckets of histograms.
var bucketSums = func() string {
	names := bucketNames()
	sums := make([]string, len(names))
	for i, name := range names {
		sums[i] = "CAST(SUM(" + name + ") AS BIGINT) AS " + name
	}
	return strings.Join(sums, ", ")
}()

func (r *gormRepository) addCoarseLatencies(ctx context.Context, parts []part, group Group, found latencyGroups) error {
	if len(parts) == 0 {
		return nil
	}
	groups := groupColumns(group)
	query, args := union(parts, func(p part) string { return p.sums(append(groups, bucketSums), groups...) })
	var rows []map[string]any
	if err := r.db.Read(ctx).Raw(query, args...).Scan(&rows).Error; err != nil {
		return err
	}
	names := bucketNames()
	for _, row := range rows {
		service, _ := row["service"].(string)
		provider, _ := row["provider"].(string)
		model, _ := row["model"].(string)
		histogram := found.of(service, provider, model)
		for i, name := range names {
			n, _ := row[name].(int64) // nothing where all are empty
			histogram[i] += n
		}
	}
	return nil
}

func (r *gormRepository) FindSpan(ctx context.Context, scope Scope) (first, last time.Time, err error) {
	parts := partsOf(scope, grainMonth)
	if len(parts) == 0 {
		return time.Time{}, time.Time{}, ctx.Err()
	}
	query, args := union(parts, func(p part) string { return p.sums([]string{"MIN(first_ms) AS first_ms", "MAX(last_ms) AS last_ms"}) })
	var spans []struct{ FirstMS, LastMS int64 }
	if err := r.db.Read(ctx).Raw(query, args...).Scan(&spans).Error; err != nil || len(spans) == 0 {
		return time.Time{}, time.Time{}, database.Fault(err)
	}
	earliest, latest := spans[0].FirstMS, spans[0].LastMS
	for _, span := range spans {
		earliest, latest = min(earliest, span.FirstMS), max(latest, span.LastMS)
	}
	return time.UnixMilli(earliest).UTC(), time.UnixMilli(latest).UTC(), nil
}

func groupColumns(group Group) []string {
	var columns []string
	if group.Service {
		columns = append(columns, "service")
	}
	if group.Model {
		columns = append(columns, "provider", "model")
	}
	return columns
}

// columns returns where the columns of a query by this group go, in their order.
func (r *sumRow) columns(group Group) []any {
	list := []any{&r.Start}
	if group.Service {
		list = append(list, &r.Service)
	}
	if group.Model {
		list = append(list, &r.Provider, &r.Model)
	}
	for _, field := range figureFields {
		list = append(list, field.of(&r.Figures))
	}
	return list
}
