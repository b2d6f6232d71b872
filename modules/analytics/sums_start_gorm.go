package analytics

import (
	"context"
	"time"

	"llmhist/platform/database"
)

// lackingHours compares one sum of each hour, which every request is in whosever
// it is: no erasure changes it.
const lackingHours = `
WITH newest AS MATERIALIZED (SELECT MAX(hour) - @before AS start FROM analytics_hours WHERE hour <= @now)
SELECT COUNT(*) FROM (
    SELECT hour, SUM(requests) AS requests FROM analytics_hours WHERE hour >= (SELECT start FROM newest) GROUP BY hour
) AS hours LEFT JOIN (
    SELECT start AS hour, SUM(requests) AS requests FROM analytics_sums
    WHERE grain = @grain AND user_id = @everyone AND start >= (SELECT start FROM newest) GROUP BY start
) AS sums ON sums.hour = hours.hour
WHERE hours.requests > COALESCE(sums.requests, 0)`

// CountLackingHours compares in one statement; see comparedServing.
func (r *gormRepository) CountLackingHours(ctx context.Context, now time.Time) (int64, error) {
	var lacking int64
	err := r.db.Read(database.Allow(ctx, atStart)).Raw(lackingHours, map[string]any{
		"now": now.Unix(), "before": int64(comparedAtStart / time.Second), "grain": int64(grainHour), "everyone": everyoneUser,
	}).Scan(&lacking).Error
	return lacking, database.Fault(err)
}
