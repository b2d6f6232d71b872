package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/audio"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// Archive moves the rows that the module keeps, in a form that no engine
// shapes. Their objects are moved beside them; see Held.
type Archive struct {
	db     *database.DB
	bucket string
}

// NewArchive returns the archive of the conversions in db, whose objects are in
// the bucket of this name.
func NewArchive(db *database.DB, bucket string) Archive { return Archive{db, bucket} }

// The streams, in the order in which they can be imported.
const (
	streamConversions = "speech.conversions"
	streamErasures    = "speech.erasures"
)

// importPage is how many rows are imported at once.
const importPage = 200

// Streams names what there is, in the order of import.
func (a Archive) Streams() []string { return []string{streamConversions, streamErasures} }

// HeldStream names the stream whose rows have objects.
func (a Archive) HeldStream() string { return streamConversions }

// Service names the daily indexes.
func (a Archive) Service() string { return historyName }

// Import stores the rows of a stream where there are none.
func (a Archive) Import(ctx context.Context, stream string, lines *archive.Lines) error {
	switch stream {
	case streamConversions:
		return archive.Pages(lines, importPage, func(page []archivedConversion) error { return a.insertConversions(ctx, page) })
	case streamErasures:
		return archive.Pages(lines, importPage, func(page []archivedErasure) error { return a.insertErasures(ctx, page) })
	}
	return fmt.Errorf("speech has no stream %s", stream)
}

// Complete has nothing to do.
func (a Archive) Complete(context.Context) error { return nil }

// Held returns which objects belong to a row of HeldStream.
func (a Archive) Held(row []byte) (history.Held, error) {
	var c archivedConversion
	if err := json.Unmarshal(row, &c); err != nil {
		return history.Held{}, errors.New("a row of " + streamConversions + " cannot be read")
	}
	held := history.Held{ID: c.ID, Owner: c.UserID, Settled: c.Status != StatusProcessing, Possible: everyMediaName()}
	if c.Status == StatusCompleted {
		held.Media = mediaName(audio.Format(c.Format))
	}
	return held, nil
}

// archivedConversion is a line of speech.conversions, ordered by id.
type archivedConversion struct {
	ID         string    `json:"id"`
	UserID     *int64    `json:"user_id"`
	RequestID  string    `json:"request_id"`
	Text       string    `json:"text"`
	Language   string    `json:"language"`
	Voice      string    `json:"voice"`
	Provider   string    `json:"provider"`
	Model      string    `json:"model"`
	Speed      float64   `json:"speed"`
	Format     string    `json:"format"`
	Status     Status    `json:"status"`
	Error      *failure  `json:"error"`
	DurationMS int64     `json:"duration_ms"`
	Bytes      int64     `json:"file_size_bytes"`
	Bucket     *string   `json:"s3_bucket"` // null = the installation's own
	LatencyMS  int64     `json:"latency_ms"`
	StatusCode int       `json:"status_code"`
	CostUSD    float64   `json:"cost_usd"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func (a Archive) archivedOf(c Conversion) archivedConversion {
	archived := archivedConversion{
		ID: c.ID, UserID: c.UserID, RequestID: c.RequestID, Text: c.Text, Language: c.Language, Voice: c.Voice,
		Provider: c.Provider, Model: c.Model, Speed: c.Speed, Format: string(c.Format), Status: c.Status, Error: failureOf(c.Failure),
		DurationMS: c.Duration.Milliseconds(), Bytes: c.Size, LatencyMS: c.Latency.Milliseconds(), StatusCode: c.StatusCode,
		CostUSD: c.CostUSD, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if c.Bucket != a.bucket {
		archived.Bucket = &c.Bucket
	}
	return archived
}

func (a Archive) conversionOf(archived archivedConversion) (Conversion, error) {
	if !uid.Valid(archived.ID) {
		return Conversion{}, errors.New("a conversion has an id that cannot be")
	}
	c := Conversion{
		ID: archived.ID, UserID: archived.UserID, RequestID: archived.RequestID, Text: archived.Text,
		Language: archived.Language, Voice: archived.Voice, Provider: archived.Provider, Model: archived.Model,
		Speed: archived.Speed, Format: audio.Format(archived.Format), Status: archived.Status,
		Duration: time.Duration(archived.DurationMS) * time.Millisecond, Size: archived.Bytes, Bucket: a.bucket,
		Latency: time.Duration(archived.LatencyMS) * time.Millisecond, StatusCode: archived.StatusCode,
		CostUSD: archived.CostUSD, CreatedAt: archived.CreatedAt, UpdatedAt: archived.UpdatedAt,
	}
	if archived.Bucket != nil {
		c.Bucket = *archived.Bucket
	}
	if archived.Error != nil {
		c.Failure = &Failure{Code: archived.Error.Code, Detail: archived.Error.Detail}
	}
	return c, nil
}

// archivedErasure is a line of speech.erasures, ordered by id.
type archivedErasure struct {
	ID         string `json:"id"`
	UserID     *int64 `json:"user_id"`
	Processing bool   `json:"processing"`
}
