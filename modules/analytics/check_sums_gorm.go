package analytics

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// ListStaleMonths compares the totals of every month; see checked.
func (r *gormRepository) ListStaleMonths(ctx context.Context) ([]time.Time, error) {
	stored, derived := monthTotals{}, monthTotals{}
	err := r.db.Snapshot(database.Allow(ctx, comparing), func(snapshot *database.DB) error {
		for _, read := range []func(*gorm.DB) error{stored.addStored, stored.addStoredRanks, derived.addHours, derived.addHourLatencies} {
			if err := read(snapshot.Read(ctx)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, database.Fault(err)
	}
	return stored.differing(derived), nil
}

func (m monthTotals) addStored(db *gorm.DB) error {
	var rows []map[string]any
	err := db.Raw("SELECT CAST(grain AS BIGINT) AS grain, CASE WHEN user_id = ? THEN 1 ELSE 0 END AS everyone, start, "+figureSums+", "+bucketSums+
		" FROM analytics_sums GROUP BY 1, 2, 3", everyoneUser).Scan(&rows).Error
	for _, row := range rows {
		sum := m.of(monthKind{month: wholeNumber(row["start"]), grain: grain(wholeNumber(row["grain"])), everyone: wholeNumber(row["everyone"]) == 1})
		for _, field := range figureFields {
			*field.of(&sum.Figures) += wholeNumber(row[field.name])
		}
		for i := range latencyBuckets {
			sum.Histogram[i] += wholeNumber(row[bucketField(i)])
		}
	}
	return err
}

func (m monthTotals) addStoredRanks(db *gorm.DB) error {
	var rows []rankRow
	err := db.Raw("SELECT grain, start, CAST(SUM(requests) AS BIGINT) AS requests FROM analytics_ranks WHERE service = '' GROUP BY grain, start").Scan(&rows).Error
	for _, row := range rows {
		m.of(monthKind{month: row.Start, grain: row.Grain, ranks: true}).Requests += row.Requests
	}
	return err
}

func (m monthTotals) addHours(db *gorm.DB) error {
	var rows []struct {
		Hour, OfAccounts int64
		Figures          `gorm:"embedded"`
	}
	err := db.Raw("SELECT hour, CAST(SUM(CASE WHEN user_id > 0 THEN requests ELSE 0 END) AS BIGINT) AS of_accounts, " + figureSums +
		" FROM analytics_hours GROUP BY hour").Scan(&rows).Error
	for _, row := range rows {
		for _, kind := range kindsOf(row.Hour) {
			sum := m.of(kind)
			sum.Figures.Add(row.Figures)
		}
		for _, g := range []grain{grainDay, grainMonth} {
			m.of(monthKind{month: row.Hour, grain: g, ranks: true}).Requests += row.OfAccounts
		}
	}
	return err
}

func (m monthTotals) addHourLatencies(db *gorm.DB) error {
	var rows []struct {
		Hour, Requests int64
		Bucket         int
	}
	err := db.Raw("SELECT hour, bucket, CAST(SUM(requests) AS BIGINT) AS requests FROM analytics_latencies GROUP BY hour, bucket").Scan(&rows).Error
	for _, row := range rows {
		for _, kind := range kindsOf(row.Hour) {
			m.of(kind).Histogram[min(max(row.Bucket, 0), latencyBuckets-1)] += row.Requests
		}
	}
	return err
}

// RebuildMonth makes the longer sums of a month again; see checked.
func (r *gormRepository) RebuildMonth(ctx context.Context, month time.Time) error {
	from, until := month.Unix(), BucketMonth.next(month).Unix()
	return database.Fault(r.db.Write(database.Allow(ctx, rebuilding), func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock"); err != nil {
			return err
		}
		for _, table := range []string{"analytics_sums", "analytics_ranks"} {
			if err := tx.Exec("DELETE FROM "+table+" WHERE start >= ? AND start < ?", from, until).Error; err != nil {
				return err
			}
		}
		for day := from; day < until; day += 86400 {
			var hours []hourRow
			if err := tx.Raw("SELECT * FROM analytics_hours WHERE hour >= ? AND hour < ?", day, day+86400).Scan(&hours).Error; err != nil {
				return err
			}
			var latencies []latencyRow
			if err := tx.Raw("SELECT * FROM analytics_latencies WHERE hour >= ? AND hour < ?", day, day+86400).Scan(&latencies).Error; err != nil {
				return err
			}
			if err := addDerived(database.In(tx), hours, latencies, newRequests); err != nil {
				return err
			}
		}
		return nil
	}))
}
