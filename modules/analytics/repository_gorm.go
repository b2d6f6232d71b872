package analytics

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
)

// NewRepository returns the repository on PostgreSQL or SQLite.
func NewRepository(db *database.DB) Repository { return &gormRepository{db} }

type gormRepository struct{ db *database.DB }

// storing is how long one change of events and sums may take: nobody waits for
// it, and many servers may be at it at once.
const storing = 10 * time.Second

// Append locks in one order, events by id and then rollups by key, so that
// concurrent appends wait for each other instead of deadlocking.
func (r *gormRepository) Append(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	unique, err := eventRows(events)
	if err != nil {
		return database.Fault(err)
	}
	ctx = database.Allow(ctx, storing)
	if r.db.Dialect() == database.SQLite {
		for part := range slices.Chunk(unique, maxGroupedEvents) {
			if err := r.appendGrouped(ctx, events, part); err != nil {
				return database.Fault(err)
			}
		}
		return nil
	}
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		if err := r.lock(tx, "pg_advisory_xact_lock_shared"); err != nil {
			return err
		}
		stored, err := insertEvents(tx, unique)
		if err != nil {
			return err
		}
		hours, latencies := rollUp(events, stored)
		return addSums(database.In(tx), hours, latencies, newRequests)
	}))
}

// maxGroupedEvents bounds how long an answer of chat waits for events in its group.
const maxGroupedEvents = 100

// appendGrouped stores some of the events, which are in rows, on SQLite.
func (r *gormRepository) appendGrouped(ctx context.Context, events []Event, rows [][]any) error {
	return r.db.WriteGrouped(ctx, func(tx database.Statements) error {
		stored, err := insertEachEvent(tx, rows)
		if err != nil {
			return err
		}
		hours, latencies := rollUp(events, stored)
		return addSums(tx, hours, latencies, newRequests)
	})
}

// lockKey is the advisory lock of this module: "analytic" in ASCII.
const lockKey int64 = 0x616e616c79746963

// lock makes DetachUser and DeleteEvents, which cannot lock rows in the order of
// Append, wait for all appends and for each other on PostgreSQL, where they
// would deadlock; SQLite has one writer anyway. It must not be a table lock:
// parsing an INSERT waits for one, and GORM lets every transaction that needs
// the same statement wait for the one that prepares it, the lock's holder
// included.
func (r *gormRepository) lock(tx *gorm.DB, function string) error {
	if r.db.Dialect() != database.Postgres {
		return nil
	}
	return tx.Exec("SELECT "+function+"(?)", lockKey).Error
}

const insertEventsHead = `INSERT INTO analytics_events (id, ts, user_id, service, action, request_id, provider, model, status,
	latency_ms, ttft_ms, input_tokens, output_tokens, input_bytes, output_bytes, cost_nano_usd, metadata) VALUES `

// insertEachEvent returns the ids of the events that were not stored before.
func insertEachEvent(tx database.Statements, rows [][]any) (map[string]bool, error) {
	stored := make(map[string]bool, len(rows))
	for _, row := range rows {
		inserted, err := tx.Exec(insertOneEvent, row...)
		if err != nil {
			return nil, err
		}
		if id, is := row[0].(string); is && inserted > 0 {
			stored[id] = true
		}
	}
	return stored, nil
}

const insertOneEvent = insertEventsHead + `(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING`

// insertEvents is insertEachEvent with statements of many rows.
func insertEvents(tx *gorm.DB, rows [][]any) (map[string]bool, error) {
	stored := make(map[string]bool, len(rows))
	err := insertInto(database.In(tx).Rows(), rows, func(values string, args []any) error {
		var ids []string
		err := tx.Raw(insertEventsHead+values+` ON CONFLICT (id) DO NOTHING RETURNING id`, args...).Scan(&ids).Error
		for _, id := range ids {
			stored[id] = true
		}
		return err
	})
	return stored, err
}

// addHours adds rows, sorted by key, to what is stored.
func addHours(tx database.Statements, rows []hourRow) error {
	return insertInto(tx.Rows(), arguments(rows), func(values string, args []any) error {
		_, err := tx.Exec(`INSERT INTO analytics_hours (hour, user_id, service, provider, model, requests, failed,
			input_tokens, output_tokens, input_bytes, output_bytes, cost_nano_usd,
			latency_sum_ms, latency_count, ttft_sum_ms, ttft_count, first_ms, last_ms)
			VALUES `+values+` ON CONFLICT (hour, user_id, service, provider, model) DO UPDATE SET
			requests = analytics_hours.requests + excluded.requests,
			failed = analytics_hours.failed + excluded.failed,
			input_tokens = analytics_hours.input_tokens + excluded.input_tokens,
			output_tokens = analytics_hours.output_tokens + excluded.output_tokens,
			input_bytes = analytics_hours.input_bytes + excluded.input_bytes,
			output_bytes = analytics_hours.output_bytes + excluded.output_bytes,
			cost_nano_usd = analytics_hours.cost_nano_usd + excluded.cost_nano_usd,
			latency_sum_ms = analytics_hours.latency_sum_ms + excluded.latency_sum_ms,
			latency_count = analytics_hours.latency_count + excluded.latency_count,
			ttft_sum_ms = analytics_hours.ttft_sum_ms + excluded.ttft_sum_ms,
			ttft_count = analytics_hours.ttft_count + excluded.ttft_count,
			`+earliestAndLatest("analytics_hours"),
			args...)
		return err
	})
}

// addLatencies adds rows, sorted by key, to what is stored.
func addLatencies(tx database.Statements, rows []latencyRow) error {
	return insertInto(tx.Rows(), arguments(rows), func(values string, args []any) error {
		_, err := tx.Exec(`INSERT INTO analytics_latencies (hour, user_id, service, provider, model, bucket, requests)
			VALUES `+values+` ON CONFLICT (hour, user_id, service, provider, model, bucket) DO UPDATE SET
			requests = analytics_latencies.requests + excluded.requests`, args...)
		return err
	})
}

// insertInto calls insert with the VALUES lists of all rows, at most atOnce in each,
// which is a power of two. Their lengths are too, so that any batch is made of a
// few statements that the engine has prepared already.
func insertInto(atOnce int, rows [][]any, insert func(values string, args []any) error) error {
	for len(rows) > 0 {
		size := atOnce
		for size > len(rows) {
			size /= 2
		}
		one := "(" + strings.Repeat(",?", len(rows[0]))[1:] + ")"
		if err := insert(strings.Repeat(","+one, size)[1:], slices.Concat(rows[:size]...)); err != nil {
			return err
		}
		rows = rows[size:]
	}
	return nil
}

// rollUp sums the stored events, each id once, into sorted rows.
func rollUp(events []Event, stored map[string]bool) ([]hourRow, []latencyRow) {
	hours := map[rollupKey]hourRow{}
	latencies := map[latencyKey]int64{}
	for i := range events {
		e := &events[i]
		if !stored[e.ID] {
			continue
		}
		delete(stored, e.ID)
		key, at := keyOf(e), e.At.UnixMilli()
		row, known := hours[key]
		if !known {
			row = hourRow{Key: key, FirstMS: at, LastMS: at}
		}
		row.Figures.Add(e.figures())
		row.FirstMS, row.LastMS = min(row.FirstMS, at), max(row.LastMS, at)
		hours[key] = row
		if e.Status == StatusOK {
			latencies[latencyKey{key, latencyBucket(e.LatencyMS)}]++
		}
	}
	latencyRows := make([]latencyRow, 0, len(latencies))
	for key, requests := range latencies {
		latencyRows = append(latencyRows, latencyRow{key.rollupKey, key.bucket, requests})
	}
	return sorted(slices.Collect(maps.Values(hours))), sorted(latencyRows)
}

// rollupKey is what requests are summed by.
type rollupKey struct {
	Hour     int64 // Unix seconds
	UserID   int64
	Service  string
	Provider string
	Model    string
}

type latencyKey struct {
	rollupKey
	bucket int
}

func keyOf(e *Event) rollupKey {
	key := rollupKey{Hour: e.At.Truncate(time.Hour).Unix(), UserID: AnonymousUser, Service: e.Service, Provider: e.Provider, Model: e.Model}
	if e.UserID != nil {
		key.UserID = *e.UserID
	}
	return key
}

func (k rollupKey) compare(other rollupKey) int {
	return cmp.Or(cmp.Compare(k.Hour, other.Hour), cmp.Compare(k.UserID, other.UserID), cmp.Compare(k.Service, other.Service),
		cmp.Compare(k.Provider, other.Provider), cmp.Compare(k.Model, other.Model))
}

func (k rollupKey) arguments() []any { return []any{k.Hour, k.UserID, k.Service, k.Provider, k.Model} }

// rollupRow is a row of one of the tables of sums.
type rollupRow[Row any] interface {
	compare(other Row) int
	arguments() []any
}

// hourRow is a row of analytics_hours.
type hourRow struct {
	Key             rollupKey `gorm:"embedded"`
	Figures         `gorm:"embedded"`
	FirstMS, LastMS int64 // Unix milliseconds
}

func (r hourRow) compare(other hourRow) int { return r.Key.compare(other.Key) }

func (r hourRow) arguments() []any {
	f := r.Figures
	return append(r.Key.arguments(), f.Requests, f.Failed, f.InputTokens, f.OutputTokens, f.InputBytes, f.OutputBytes,
		f.CostNanoUSD, f.LatencySumMS, f.LatencyCount, f.TTFTSumMS, f.TTFTCount, r.FirstMS, r.LastMS)
}

// latencyRow is a row of analytics_latencies.
type latencyRow struct {
	Key      rollupKey `gorm:"embedded"`
	Bucket   int
	Requests int64
}

func (r latencyRow) compare(other latencyRow) int {
	return cmp.Or(r.Key.compare(other.Key), cmp.Compare(r.Bucket, other.Bucket))
}

func (r latencyRow) arguments() []any { return append(r.Key.arguments(), r.Bucket, r.Requests) }

func sorted[Row rollupRow[Row]](rows []Row) []Row {
	slices.SortFunc(rows, Row.compare)
	return rows
}

func arguments[Row rollupRow[Row]](rows []Row) [][]any {
	list := make([][]any, len(rows))
	for i, row := range rows {
		list[i] = row.arguments()
	}
	return list
}

// eventRows returns the rows of analytics_events, one per id, sorted by id.
func eventRows(events []Event) ([][]any, error) {
	order := make([]*Event, len(events))
	for i := range events {
		order[i] = &events[i]
	}
	slices.SortStableFunc(order, func(a, b *Event) int { return strings.Compare(a.ID, b.ID) })
	order = slices.CompactFunc(order, func(a, b *Event) bool { return a.ID == b.ID })
	rows := make([][]any, len(order))
	for i, e := range order {
		metadata, err := json.Marshal(eventMetadata{e.HTTPStatus, e.Code, e.ObjectID, e.Estimated})
		if err != nil {
			return nil, err
		}
		rows[i] = []any{e.ID, e.At.UTC(), e.UserID, e.Service, e.Action, e.RequestID, e.Provider, e.Model, string(e.Status),
			e.LatencyMS, e.TTFTMS, e.InputTokens, e.OutputTokens, e.InputBytes, e.OutputBytes, e.CostNanoUSD, string(metadata)}
	}
	return rows, nil
}

// eventMetadata is the metadata column of an event.
type eventMetadata struct {
	HTTPStatus int    `json:"http_status"`
	Code       string `json:"code,omitempty"`
	ObjectID   string `json:"object_id,omitempty"`
	Estimated  bool   `json:"estimated,omitempty"`
}
