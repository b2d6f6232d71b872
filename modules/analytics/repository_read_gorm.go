package analytics

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// figureSums reads Figures; the casts undo PostgreSQL's widening of SUM.
const figureSums = `CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(failed) AS BIGINT) AS failed,
	CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
	CAST(SUM(input_bytes) AS BIGINT) AS input_bytes, CAST(SUM(output_bytes) AS BIGINT) AS output_bytes,
	CAST(SUM(cost_nano_usd) AS BIGINT) AS cost_nano_usd,
	CAST(SUM(latency_sum_ms) AS BIGINT) AS latency_sum_ms, CAST(SUM(latency_count) AS BIGINT) AS latency_count,
	CAST(SUM(ttft_sum_ms) AS BIGINT) AS ttft_sum_ms, CAST(SUM(ttft_count) AS BIGINT) AS ttft_count`

func (r *gormRepository) ListRollups(ctx context.Context, scope Scope, group Group) ([]Rollup, error) {
	columns := groupColumns(group)
	start := "0"
	switch group.Step {
	case StepHour:
		start = "hour"
	case StepDay:
		start = "hour - hour % 86400"
	}
	query := r.within(ctx, "analytics_hours", scope).
		Select(strings.Join(append([]string{start + " AS start", figureSums}, columns...), ", "))
	if group.Step != StepNone {
		columns = append(columns, start)
	}
	var rows []sumRow
	if err := grouped(query, columns).Having("SUM(requests) > 0").Scan(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	list := make([]Rollup, len(rows))
	for i, row := range rows {
		list[i] = row.rollup(group.Step)
	}
	slices.SortFunc(list, compareRollups) // here, because collations differ between engines
	return list, nil
}

func (r *gormRepository) ListLatencies(ctx context.Context, scope Scope, group Group) ([]LatencyRollup, error) {
	columns := append(groupColumns(group), "bucket")
	query := r.within(ctx, "analytics_latencies", scope).
		Select(strings.Join(append(columns, "CAST(SUM(requests) AS BIGINT) AS requests"), ", "))
	var rows []struct {
		Service, Provider, Model string
		Bucket                   int
		Requests                 int64
	}
	if err := grouped(query, columns).Scan(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	type key struct{ service, provider, model string }
	index := map[key]int{}
	list := []LatencyRollup{}
	for _, row := range rows {
		k := key{row.Service, row.Provider, row.Model}
		i, known := index[k]
		if !known {
			i = len(list)
			index[k] = i
			list = append(list, LatencyRollup{Service: row.Service, Provider: row.Provider, Model: row.Model})
		}
		list[i].Latencies[min(max(row.Bucket, 0), latencyBuckets-1)] += row.Requests
	}
	slices.SortFunc(list, func(a, b LatencyRollup) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return list, nil
}

func (r *gormRepository) ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error) {
	var rows []struct {
		UserID  int64
		Figures `gorm:"embedded"`
	}
	err := r.within(ctx, "analytics_hours", scope).Select("user_id, " + figureSums).Where("user_id > 0").
		Group("user_id").Order("SUM(requests) DESC, user_id").Limit(limit).Scan(&rows).Error
	if err != nil {
		return nil, database.Fault(err)
	}
	list := make([]UserRollup, len(rows))
	for i, row := range rows {
		list[i] = UserRollup{row.UserID, row.Figures}
	}
	return list, nil
}

func (r *gormRepository) CountUsers(ctx context.Context, scope Scope) (int64, error) {
	var count int64
	err := r.within(ctx, "analytics_hours", scope).Where("user_id > 0").Select("COUNT(DISTINCT user_id)").Scan(&count).Error
	return count, database.Fault(err)
}

func (r *gormRepository) FindSpan(ctx context.Context, scope Scope) (first, last time.Time, err error) {
	var span struct{ FirstMS, LastMS *int64 }
	err = r.within(ctx, "analytics_hours", scope).Select("MIN(first_ms) AS first_ms, MAX(last_ms) AS last_ms").Scan(&span).Error
	if err != nil || span.FirstMS == nil || span.LastMS == nil {
		return time.Time{}, time.Time{}, database.Fault(err)
	}
	return time.UnixMilli(*span.FirstMS).UTC(), time.UnixMilli(*span.LastMS).UTC(), nil
}

// within selects the rows in scope.
func (r *gormRepository) within(ctx context.Context, table string, scope Scope) *gorm.DB {
	query := r.db.Read(ctx).Table(table).Where("hour >= ? AND hour < ?", scope.From.Unix(), scope.To.Unix())
	if scope.UserID != nil {
		query = query.Where("user_id = ?", *scope.UserID)
	}
	if scope.Service != "" {
		query = query.Where("service = ?", scope.Service)
	}
	return query
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

func grouped(query *gorm.DB, columns []string) *gorm.DB {
	for _, column := range columns {
		query = query.Group(column)
	}
	return query
}

type sumRow struct {
	Start                    int64
	Service, Provider, Model string
	Figures                  `gorm:"embedded"`
}

func (r sumRow) rollup(step Step) Rollup {
	rollup := Rollup{Service: r.Service, Provider: r.Provider, Model: r.Model, Figures: r.Figures}
	if step != StepNone {
		rollup.Start = time.Unix(r.Start, 0).UTC()
	}
	return rollup
}
