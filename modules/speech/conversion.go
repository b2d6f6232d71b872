package speech

import (
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/history"
)

// Status is how far a conversion has come.
type Status string

// The statuses. Those other than processing are final.
const (
	StatusProcessing Status = "processing"
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCancelled  Status = "cancelled"
)

// Failure says why a conversion did not complete.
type Failure struct {
	Code   string // a fault's stable code, or "interrupted"
	Detail string
}

// Conversion is one text and the speech made of it.
type Conversion struct {
	ID       string
	UserID   *int64 // nil for one made anonymously
	Text     string
	Language string // as the model calls it
	Voice    string // "" when the model has none to choose
	Provider string
	Model    string
	Speed    float64 // relative to the voice's natural one
	Format   audio.Format
	Status   Status
	Instance string   // the server that works or worked on it
	Failure  *Failure // set when failed or cancelled

	Duration time.Duration // of the sound, in whole milliseconds; 0 until completed
	Size     int64         // of the file in bytes; 0 until completed
	Bucket   string

	RequestID  string
	Latency    time.Duration // of the provider
	StatusCode int           // the provider's, or what it amounts to; 0 until settled
	CostUSD    float64
	CreatedAt  time.Time
	UpdatedAt  time.Time

	AudioURL string // signed link made for one answer, never stored; "" without sound

	// Damage is why a list has only a part of it: what its row keeps as metadata
	// (Provider, RequestID, Latency, StatusCode, CostUSD) cannot be read.
	Damage error
}

// MediaKey returns the key of the sound, "" until it is complete.
func (c Conversion) MediaKey() string {
	if c.Status != StatusCompleted {
		return ""
	}
	return history.MediaKey(c.ID, mediaName(c.Format))
}

// mediaName is the name of a sound below its request's prefix.
func mediaName(format audio.Format) string { return "audio/output." + string(format) }

// everyMediaName lists what a request can have made.
func everyMediaName() []string { return []string{mediaName(audio.MP3), mediaName(audio.WAV)} }

// Erasure is a conversion whose row is gone and whose objects have to go.
type Erasure struct {
	ID         string
	UserID     *int64
	Processing bool   // a request was still at work on it when its row went
	Instance   string // the server of that request
}
