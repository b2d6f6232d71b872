package speech

import (
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/history"
)

// metadata is the fixed set of facts that rows, records and answers carry.
type metadata struct {
	RequestID  string  `json:"request_id" doc:"The request that made it, as in X-Request-Id."`
	Provider   string  `json:"provider" doc:"Who made the sound."`
	LatencyMS  int64   `json:"latency_ms" doc:"How long the provider took."`
	StatusCode int     `json:"status_code" doc:"The provider's HTTP status, 200 for a local one that succeeded; 0 while processing."`
	CostUSD    float64 `json:"cost_usd" doc:"At the operator's price; 0 where there is none."`
	RecordKey  string  `json:"record_key" doc:"Where the full record is stored."`
	InputKey   string  `json:"input_key" doc:"Where the parameters are stored."`
}

func metadataOf(c Conversion) metadata {
	return metadata{
		RequestID: c.RequestID, Provider: c.Provider, LatencyMS: c.Latency.Milliseconds(), StatusCode: c.StatusCode,
		CostUSD: c.CostUSD, RecordKey: history.RecordKey(c.ID), InputKey: history.InputKey(c.ID),
	}
}

// failure is why a conversion did not complete.
type failure struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func failureOf(f *Failure) *failure {
	if f == nil {
		return nil
	}
	return &failure{Code: f.Code, Detail: f.Detail}
}

// inputDocument is input.json: what was asked for.
type inputDocument struct {
	ID        string    `json:"id"`
	UserID    *int64    `json:"user_id"`
	Text      string    `json:"text"`
	Language  string    `json:"language"`
	Voice     *string   `json:"voice"`
	Model     string    `json:"model"`
	Speed     float64   `json:"speed"`
	Format    string    `json:"format"`
	RequestID string    `json:"request_id"`
	CreatedAt time.Time `json:"created_at"`
	// RestoredAt is set when the document was lost and made again, from what the
	// record or the row knew.
	RestoredAt *time.Time `json:"restored_at,omitempty"`
}

func inputOf(c Conversion) inputDocument {
	return inputDocument{
		ID: c.ID, UserID: c.UserID, Text: c.Text, Language: c.Language, Voice: orNull(c.Voice), Model: c.Model,
		Speed: c.Speed, Format: string(c.Format), RequestID: c.RequestID, CreatedAt: c.CreatedAt,
	}
}

// recordDocument is record.json: everything about the outcome, enough to make
// the row again.
type recordDocument struct {
	ID              string    `json:"id"`
	UserID          *int64    `json:"user_id"`
	Text            string    `json:"text"`
	Language        string    `json:"language"`
	Voice           *string   `json:"voice"`
	Model           string    `json:"model"`
	Speed           float64   `json:"speed"`
	Format          string    `json:"format"`
	Status          string    `json:"status"`
	Error           *failure  `json:"error,omitempty"`
	DurationSeconds *float64  `json:"duration_seconds"`
	FileSizeBytes   *int64    `json:"file_size_bytes"`
	SHA256          string    `json:"sha256,omitempty"` // hex, of the sound; records of the first releases have none
	S3Key           *string   `json:"s3_key"`
	S3Bucket        string    `json:"s3_bucket"`
	Metadata        metadata  `json:"metadata"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
	// RestoredAt is set when the record was lost and made again from the row.
	RestoredAt *time.Time `json:"restored_at,omitempty"`
}

// conversion returns the conversion that the record describes.
func (d recordDocument) conversion() Conversion {
	return d.settled(Conversion{ID: d.ID, UserID: d.UserID, Bucket: d.S3Bucket, CreatedAt: d.CreatedAt.UTC()})
}

// recordOf returns the record of a finished conversion. sha256 is of its sound,
// "" without one.
func recordOf(c Conversion, sha256 string) recordDocument {
	return recordDocument{
		ID: c.ID, UserID: c.UserID, Text: c.Text, Language: c.Language, Voice: orNull(c.Voice), Model: c.Model,
		Speed: c.Speed, Format: string(c.Format), Status: string(c.Status), Error: failureOf(c.Failure),
		DurationSeconds: secondsOf(c), FileSizeBytes: sizeOf(c), SHA256: sha256, S3Key: orNull(c.MediaKey()), S3Bucket: c.Bucket,
		Metadata: metadataOf(c), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
}

// settled returns the conversion that a record describes, for the owner and the
// bucket that the row names: a record cannot hand itself to somebody else.
func (d recordDocument) settled(row Conversion) Conversion {
	c := row
	c.Text, c.Language, c.Model, c.Speed = d.Text, d.Language, d.Model, d.Speed
	c.Voice = orZero(d.Voice)
	c.Format, c.Status = audio.Format(d.Format), Status(d.Status)
	if d.Error != nil {
		c.Failure = &Failure{Code: d.Error.Code, Detail: d.Error.Detail}
	}
	c.Duration, c.Size = durationOf(d.DurationSeconds), orZero(d.FileSizeBytes)
	c.Provider, c.RequestID = d.Metadata.Provider, d.Metadata.RequestID
	c.Latency = time.Duration(d.Metadata.LatencyMS) * time.Millisecond
	c.StatusCode, c.CostUSD = d.Metadata.StatusCode, d.Metadata.CostUSD
	c.UpdatedAt = d.UpdatedAt.UTC()
	return c
}

// final reports whether the record tells of an outcome.
func (d recordDocument) final() bool {
	switch Status(d.Status) {
	case StatusCompleted, StatusFailed, StatusCancelled:
		return true
	}
	return false
}

func secondsOf(c Conversion) *float64 {
	if c.Status != StatusCompleted {
		return nil
	}
	seconds := float64(c.Duration.Milliseconds()) / 1000
	return &seconds
}

func durationOf(seconds *float64) time.Duration {
	return time.Duration(orZero(seconds)*1000+0.5) * time.Millisecond
}

func sizeOf(c Conversion) *int64 {
	if c.Status != StatusCompleted {
		return nil
	}
	size := c.Size
	return &size
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}
