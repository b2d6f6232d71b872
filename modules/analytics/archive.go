package analytics

import (
	"context"
	"fmt"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// Archive moves every event and every hourly sum, in a form that is the same
// whether SQL or a document database keeps them.
type Archive struct {
	db        *database.DB
	documents *database.Mongo
	keep      func(userID int64) bool
	until     time.Time
}

// NewArchive returns the archive of the figures in documents, or in db when that
// is nil.
func NewArchive(db *database.DB, documents *database.Mongo) Archive {
	return Archive{db: db, documents: documents, keep: func(int64) bool { return true }}
}

// Within narrows what is exported to users that keep names, so that it goes with
// the accounts that are exported, and documents, of which nobody can take a
// snapshot, to events until a moment; the zero time is none. Anonymous requests
// and those of erased accounts are always exported. In SQL an account that keep
// does not name is one that was just erased, and exported as such.
func (a Archive) Within(keep func(userID int64) bool, until time.Time) Archive {
	a.keep, a.until = keep, until
	return a
}

// The streams, in the order in which they can be imported.
const (
	streamEvents = "analytics.events"
	streamHours  = "analytics.hours"
)

// importPage is how many rows are imported at once.
const importPage = 200

// Streams names what there is, in the order of import.
func (a Archive) Streams() []string { return []string{streamHours, streamEvents} }

// Export writes every event and every hour.
func (a Archive) Export(ctx context.Context, out archive.Rows) error {
	if a.documents != nil {
		return a.exportDocuments(ctx, out)
	}
	return a.exportRows(ctx, out)
}

// Import stores the rows of a stream where there are none.
func (a Archive) Import(ctx context.Context, stream string, lines *archive.Lines) error {
	hours, events := a.insertHourRows, a.insertEventRows
	if a.documents != nil {
		hours, events = a.insertHourDocuments, a.insertEventDocuments
	}
	switch stream {
	case streamHours:
		return archive.Pages(lines, importPage, func(page []archivedHour) error { return hours(ctx, page) })
	case streamEvents:
		return archive.Pages(lines, importPage, func(page []archivedEvent) error { return events(ctx, page) })
	}
	return fmt.Errorf("analytics has no stream %s", stream)
}

// Complete makes sums over longer times than an hour, which no archive holds. In SQL
// they grow with the hours that are imported.
func (a Archive) Complete(ctx context.Context) error {
	if a.documents == nil {
		return nil
	}
	return a.completeDocuments(ctx)
}

// Count returns how many events and hours there are.
func (a Archive) Count(ctx context.Context) (int64, error) {
	if a.documents != nil {
		return database.CountDocuments(ctx, a.documents, archivedCollections()...)
	}
	return database.CountRows(ctx, a.db, "analytics_events", "analytics_hours")
}

// Clear removes everything.
func (a Archive) Clear(ctx context.Context) error {
	if a.documents == nil {
		return database.DeleteAllRows(ctx, a.db, "analytics_events", "analytics_latencies", "analytics_hours",
			"analytics_sums", "analytics_ranks", "analytics_accounts")
	}
	if err := database.DropCollections(ctx, a.documents, append(archivedCollections(), derivedCollections()...)...); err != nil {
		return err
	}
	return EnsureIndexes(ctx, a.documents)
}

// keeps reports whether what belongs to this user is exported.
func (a Archive) keeps(userID int64) bool {
	return userID == AnonymousUser || userID == ErasedUser || a.keep(userID)
}

// archivedEvent is a line of analytics.events, ordered by id.
type archivedEvent struct {
	ID           string    `json:"id"`
	At           time.Time `json:"ts"`
	UserID       *int64    `json:"user_id"`
	Service      string    `json:"service"`
	Action       string    `json:"action"`
	RequestID    string    `json:"request_id"`
	Provider     string    `json:"provider"`
	Model        string    `json:"model"`
	Status       Status    `json:"status"`
	LatencyMS    int64     `json:"latency_ms"`
	TTFTMS       *int64    `json:"ttft_ms"`
	InputTokens  int64     `json:"input_tokens"`
	OutputTokens int64     `json:"output_tokens"`
	InputBytes   int64     `json:"input_bytes"`
	OutputBytes  int64     `json:"output_bytes"`
	CostNanoUSD  int64     `json:"cost_nano_usd"`
	HTTPStatus   int       `json:"http_status"`
	Code         string    `json:"code"`
	ObjectID     string    `json:"object_id"`
	Estimated    bool      `json:"estimated"`
}

// archivedHour is a line of analytics.hours, ordered by hour, user, service,
// provider and model.
type archivedHour struct {
	Hour         int64      `json:"hour"` // Unix seconds
	UserID       int64      `json:"user_id"`
	Service      string     `json:"service"`
	Provider     string     `json:"provider"`
	Model        string     `json:"model"`
	Requests     int64      `json:"requests"`
	Failed       int64      `json:"failed"`
	InputTokens  int64      `json:"input_tokens"`
	OutputTokens int64      `json:"output_tokens"`
	InputBytes   int64      `json:"input_bytes"`
	OutputBytes  int64      `json:"output_bytes"`
	CostNanoUSD  int64      `json:"cost_nano_usd"`
	LatencySumMS int64      `json:"latency_sum_ms"`
	LatencyCount int64      `json:"latency_count"`
	TTFTSumMS    int64      `json:"ttft_sum_ms"`
	TTFTCount    int64      `json:"ttft_count"`
	FirstMS      int64      `json:"first_ms"`
	LastMS       int64      `json:"last_ms"`
	Latencies    [][2]int64 `json:"latencies"` // bucket and requests, by bucket, without empty ones
}

func archivedHourOf(row hourRow) archivedHour {
	k, f := row.Key, row.Figures
	return archivedHour{
		Hour: k.Hour, UserID: k.UserID, Service: k.Service, Provider: k.Provider, Model: k.Model,
		Requests: f.Requests, Failed: f.Failed, InputTokens: f.InputTokens, OutputTokens: f.OutputTokens,
		InputBytes: f.InputBytes, OutputBytes: f.OutputBytes, CostNanoUSD: f.CostNanoUSD,
		LatencySumMS: f.LatencySumMS, LatencyCount: f.LatencyCount, TTFTSumMS: f.TTFTSumMS, TTFTCount: f.TTFTCount,
		FirstMS: row.FirstMS, LastMS: row.LastMS, Latencies: [][2]int64{},
	}
}

// rows returns the hour as rows of both tables.
func (h archivedHour) rows() (hourRow, []latencyRow) {
	hour := hourRow{
		Key: rollupKey{Hour: h.Hour, UserID: h.UserID, Service: h.Service, Provider: h.Provider, Model: h.Model},
		Figures: Figures{
			Requests: h.Requests, Failed: h.Failed, InputTokens: h.InputTokens, OutputTokens: h.OutputTokens,
			InputBytes: h.InputBytes, OutputBytes: h.OutputBytes, CostNanoUSD: h.CostNanoUSD,
			LatencySumMS: h.LatencySumMS, LatencyCount: h.LatencyCount, TTFTSumMS: h.TTFTSumMS, TTFTCount: h.TTFTCount,
		},
		FirstMS: h.FirstMS, LastMS: h.LastMS,
	}
	latencies := make([]latencyRow, len(h.Latencies))
	for i, pair := range h.Latencies {
		latencies[i] = latencyRow{Key: hour.Key, Bucket: int(pair[0]), Requests: pair[1]}
	}
	return hour, latencies
}
