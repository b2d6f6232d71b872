package analytics

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// FindKept returns how far back events and sums reach; see checked.
func (r *gormRepository) FindKept(ctx context.Context) (events, sums time.Time, err error) {
	var oldest []eventRow
	if err := r.db.Read(ctx).Select("id", "ts").Order("ts").Limit(1).Find(&oldest).Error; err != nil {
		return events, sums, database.Fault(err)
	}
	if len(oldest) > 0 {
		events = oldest[0].TS.UTC().Truncate(time.Hour)
	}
	var hour *int64
	if err := r.db.Read(ctx).Table("analytics_hours").Select("MIN(hour)").Scan(&hour).Error; err != nil {
		return events, sums, database.Fault(err)
	}
	if hour != nil {
		sums = time.Unix(*hour, 0).UTC()
	}
	return events, sums, nil
}

// NextHour finds the next hour with anything in it; see checked.
func (r *gormRepository) NextHour(ctx context.Context, from, until time.Time) (time.Time, bool, error) {
	next := until
	var events []eventRow
	err := r.db.Read(ctx).Select("id", "ts").Where("ts >= ? AND ts < ?", from.UTC(), until.UTC()).Order("ts").Limit(1).Find(&events).Error
	if err != nil {
		return next, false, database.Fault(err)
	}
	if len(events) > 0 {
		next = events[0].TS.UTC().Truncate(time.Hour)
	}
	var hour *int64
	err = r.db.Read(ctx).Table("analytics_hours").Where("hour >= ? AND hour < ?", from.Unix(), next.Unix()).Select("MIN(hour)").Scan(&hour).Error
	if err != nil {
		return next, false, database.Fault(err)
	}
	if hour != nil {
		next = time.Unix(*hour, 0).UTC()
	}
	return next, next.Before(until), nil
}

func (row eventRow) event() Event {
	return Event{
		ID: row.ID, At: row.TS.UTC(), UserID: row.UserID, Service: row.Service, Provider: row.Provider, Model: row.Model, Status: row.Status,
		LatencyMS: row.LatencyMS, TTFTMS: row.TTFTMS, InputTokens: row.InputTokens, OutputTokens: row.OutputTokens,
		InputBytes: row.InputBytes, OutputBytes: row.OutputBytes, CostNanoUSD: row.CostNanoUSD,
	}
}

// ListHourEvents lists a part of an hour's events; see checked.
func (r *gormRepository) ListHourEvents(ctx context.Context, hour time.Time, after string, limit int) ([]Event, error) {
	var rows []eventRow
	from, until := idBounds(hour)
	err := r.db.Read(ctx).Where("ts >= ? AND ts < ?", hour.UTC(), hour.Add(time.Hour).UTC()).
		Where("id > ? AND id < ?", max(from, after), until).Order("id").Limit(limit).Find(&rows).Error
	events := make([]Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return events, database.Fault(err)
}

// ListHourSums lists the stored sums of an hour; see checked.
func (r *gormRepository) ListHourSums(ctx context.Context, hour time.Time) (hourSums, error) {
	sums := newHourSums()
	var hours []hourRow
	if err := r.db.Read(ctx).Table("analytics_hours").Where("hour = ?", hour.Unix()).Scan(&hours).Error; err != nil {
		return sums, database.Fault(err)
	}
	var latencies []latencyRow
	if err := r.db.Read(ctx).Table("analytics_latencies").Where("hour = ?", hour.Unix()).Scan(&latencies).Error; err != nil {
		return sums, database.Fault(err)
	}
	sums.add(hours, latencies)
	return sums, nil
}

// AddSums adds to the sums of an hour; see checked.
func (r *gormRepository) AddSums(ctx context.Context, sums hourSums) error {
	hours, latencies := sums.rows()
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock_shared"); err != nil {
			return err
		}
		return addSums(database.In(tx), hours, latencies, newRequests)
	}))
}

// ListPending returns nothing: on SQL an event and its sums are one commit.
func (r *gormRepository) ListPending(context.Context, time.Time) (map[int64]bool, int, error) {
	return nil, 0, nil
}

// Recover has nothing to do on SQL.
func (r *gormRepository) Recover(context.Context) error { return nil }
