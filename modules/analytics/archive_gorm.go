package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

func (a Archive) exportRows(ctx context.Context, out archive.Rows) error {
	var hour *int64
	for {
		query := a.db.Read(ctx).Table("analytics_hours").Select("MIN(hour)")
		if hour != nil {
			query = query.Where("hour > ?", *hour)
		}
		var next *int64
		if err := query.Scan(&next).Error; err != nil {
			return database.Fault(err)
		}
		if next == nil {
			break
		}
		if err := a.exportHour(ctx, out, *next); err != nil {
			return err
		}
		hour = next
	}
	return database.EachRow(func(after *eventRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row eventRow) error {
		archived, err := row.archived()
		if err != nil {
			return err
		}
		event := Event(archived)
		if event.UserID != nil && !a.keeps(*event.UserID) {
			event.disown()
		}
		return out.Write(streamEvents, archivedEvent(event))
	})
}

// exportHour sorts the rows of one hour here: engines compare texts in their own
// ways.
func (a Archive) exportHour(ctx context.Context, out archive.Rows, hour int64) error {
	var hours []hourRow
	if err := a.db.Read(ctx).Table("analytics_hours").Where("hour = ?", hour).Find(&hours).Error; err != nil {
		return database.Fault(err)
	}
	var latencies []latencyRow
	if err := a.db.Read(ctx).Table("analytics_latencies").Where("hour = ?", hour).Find(&latencies).Error; err != nil {
		return database.Fault(err)
	}
	hours, latencies = a.disown(hours, latencies)
	latencies = sorted(latencies)
	for _, row := range sorted(hours) {
		archived := archivedHourOf(row)
		for len(latencies) > 0 && latencies[0].Key.compare(row.Key) <= 0 {
			if latencies[0].Key == row.Key && latencies[0].Requests != 0 {
				archived.Latencies = append(archived.Latencies, [2]int64{int64(latencies[0].Bucket), latencies[0].Requests})
			}
			latencies = latencies[1:]
		}
		if err := out.Write(streamHours, archived); err != nil {
			return err
		}
	}
	return nil
}

// disown adds the rows of accounts that were just erased to those of ErasedUser.
func (a Archive) disown(hours []hourRow, latencies []latencyRow) ([]hourRow, []latencyRow) {
	owner := func(key rollupKey) rollupKey {
		if !a.keeps(key.UserID) {
			key.UserID = ErasedUser
		}
		return key
	}
	sums, requests := map[rollupKey]hourRow{}, map[latencyKey]int64{}
	for _, row := range hours {
		row.Key = owner(row.Key)
		if there, known := sums[row.Key]; known {
			row.Figures.Add(there.Figures)
			row.FirstMS, row.LastMS = min(row.FirstMS, there.FirstMS), max(row.LastMS, there.LastMS)
		}
		sums[row.Key] = row
	}
	for _, row := range latencies {
		requests[latencyKey{owner(row.Key), row.Bucket}] += row.Requests
	}
	latencies = latencies[:0]
	for key, n := range requests {
		latencies = append(latencies, latencyRow{key.rollupKey, key.bucket, n})
	}
	return slices.Collect(maps.Values(sums)), latencies
}

func (a Archive) insertHourRows(ctx context.Context, page []archivedHour) error {
	var hours []hourRow
	var latencies []latencyRow
	for _, archived := range page {
		hour, buckets := archived.rows()
		hours = append(hours, hour)
		latencies = append(latencies, buckets...)
	}
	return database.Fault(a.db.Write(ctx, func(tx *gorm.DB) error {
		return addSums(database.In(tx), hours, latencies, newRequests)
	}))
}

func (a Archive) insertEventRows(ctx context.Context, page []archivedEvent) error {
	events := make([]Event, len(page))
	for i, archived := range page {
		events[i] = Event(archived)
	}
	rows, err := eventRows(events)
	if err != nil {
		return err
	}
	return database.Fault(a.db.Write(ctx, func(tx *gorm.DB) error {
		stored, err := insertEvents(tx, rows)
		if err == nil && len(stored) != len(page) {
			err = errors.New("an event is there already")
		}
		return err
	}))
}

// eventRow is a row of analytics_events as it is read.
type eventRow struct {
	ID           string `gorm:"primaryKey"`
	TS           time.Time
	UserID       *int64
	Service      string
	Action       string
	RequestID    string
	Provider     string
	Model        string
	Status       Status
	LatencyMS    int64  `gorm:"column:latency_ms"`
	TTFTMS       *int64 `gorm:"column:ttft_ms"`
	InputTokens  int64
	OutputTokens int64
	InputBytes   int64
	OutputBytes  int64
	CostNanoUSD  int64 `gorm:"column:cost_nano_usd"`
	Metadata     string
}

// TableName names the table.
func (eventRow) TableName() string { return "analytics_events" }

func (r eventRow) archived() (archivedEvent, error) {
	var facts eventMetadata
	if err := json.Unmarshal([]byte(r.Metadata), &facts); err != nil {
		return archivedEvent{}, errors.New("the metadata of an event cannot be read")
	}
	return archivedEvent{
		ID: r.ID, At: r.TS.UTC(), UserID: r.UserID, Service: r.Service, Action: r.Action, RequestID: r.RequestID,
		Provider: r.Provider, Model: r.Model, Status: r.Status, LatencyMS: r.LatencyMS, TTFTMS: r.TTFTMS,
		InputTokens: r.InputTokens, OutputTokens: r.OutputTokens, InputBytes: r.InputBytes, OutputBytes: r.OutputBytes,
		CostNanoUSD: r.CostNanoUSD, HTTPStatus: facts.HTTPStatus, Code: facts.Code, ObjectID: facts.ObjectID, Estimated: facts.Estimated,
	}, nil
}
