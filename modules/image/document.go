package image

import (
	"time"

	"llmhist/platform/history"
)

// Input is input.json: what was asked for, written before a provider is
// called. It has the names of POST /image/generate.
type Input struct {
	Prompt         string    `json:"prompt"`
	NegativePrompt string    `json:"negative_prompt"` // "" = none
	Size           string    `json:"size"`            // "WxH" in pixels; the default when the request named none
	Style          string    `json:"style"`           // "" = none
	Seed           *int64    `json:"seed"`            // chosen when the request named none; null where the model takes none
	Model          string    `json:"model"`           // as in the request; "" = the operator's choice
	UserID         *int64    `json:"user_id"`         // null for an anonymous request
	RequestID      string    `json:"request_id"`
	CreatedAt      time.Time `json:"created_at"`
	// RestoredAt is set when the document was lost and made again, from what the
	// record or the row knew.
	RestoredAt *time.Time `json:"restored_at,omitempty"`
}

// Record is record.json: everything about the request and its outcome, from
// which the SQL row can be made again. It is written last.
type Record struct {
	ID             string `json:"id"`
	Status         Status `json:"status"` // completed, failed or cancelled
	Prompt         string `json:"prompt"`
	NegativePrompt string `json:"negative_prompt"`
	Size           string `json:"size"` // as asked, "WxH" in pixels
	Style          string `json:"style"`
	Seed           *int64 `json:"seed"` // makes the picture again; null where the model takes none
	UserID         *int64 `json:"user_id"`
	RequestID      string `json:"request_id"`

	Provider      string          `json:"provider"` // who made it, or failed last
	Model         string          `json:"model"`
	ProviderModel string          `json:"provider_model,omitempty"` // the model the provider says it used
	SentPrompt    string          `json:"sent_prompt,omitempty"`    // what was sent when it is not the prompt itself
	RevisedPrompt string          `json:"revised_prompt,omitempty"` // what the provider made of the prompt
	Attempts      []RecordAttempt `json:"attempts,omitempty"`       // providers that failed before this one
	CostUSD       float64         `json:"cost_usd"`                 // at the operator's price; 0 where there is none

	ContentType       string `json:"content_type,omitempty"` // image/png when completed
	SourceContentType string `json:"source_content_type,omitempty"`
	Width             int    `json:"width,omitempty"` // pixels of the stored picture
	Height            int    `json:"height,omitempty"`
	FileSizeBytes     int64  `json:"file_size_bytes,omitempty"`
	SHA256            string `json:"sha256,omitempty"` // hex, of the stored picture
	S3Key             string `json:"s3_key,omitempty"`
	S3Bucket          string `json:"s3_bucket"`
	InputKey          string `json:"input_key"`

	Error            *RecordError `json:"error"` // null when completed
	ProcessingTimeMS int64        `json:"processing_time_ms"`
	CreatedAt        time.Time    `json:"created_at"`
	CompletedAt      time.Time    `json:"completed_at"`
	// RestoredAt is set when the record was lost and made again from the row:
	// what a row does not hold is missing then.
	RestoredAt *time.Time `json:"restored_at,omitempty"`
}

// RecordAttempt is a provider that failed and was followed by the next.
type RecordAttempt struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Code     string `json:"code"`
}

// RecordError is why there is no picture.
type RecordError struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func inputOf(image Image, model string) Input {
	return Input{
		Prompt: image.Prompt, NegativePrompt: image.NegativePrompt, Size: image.Size, Style: image.Style,
		Seed: image.Seed, Model: model, UserID: image.UserID, RequestID: image.RequestID, CreatedAt: image.CreatedAt,
	}
}

func recordOf(image Image, made making) Record {
	record := Record{
		ID: image.ID, Status: image.Status,
		Prompt: image.Prompt, NegativePrompt: image.NegativePrompt, Size: image.Size, Style: image.Style,
		Seed: image.Seed, UserID: image.UserID, RequestID: image.RequestID,
		Provider: image.Provider, Model: image.Model, ProviderModel: made.output.ProviderModel,
		SentPrompt: made.output.SentPrompt, RevisedPrompt: made.output.RevisedPrompt, Attempts: made.attempts,
		SourceContentType: image.Media.SourceContentType, Width: image.Media.Width, Height: image.Media.Height,
		FileSizeBytes: image.Media.Bytes, SHA256: image.Media.SHA256,
		S3Key: image.Key, S3Bucket: image.Bucket, InputKey: history.InputKey(image.ID),
		ProcessingTimeMS: image.Took.Milliseconds(), CreatedAt: image.CreatedAt, CompletedAt: image.FinishedAt,
	}
	if image.Status == StatusCompleted {
		record.ContentType, record.CostUSD = pngType, made.cost
	} else {
		record.Error = &RecordError{Code: image.Failure.Code, Detail: image.Failure.Detail}
	}
	return record
}

// image returns the image that the record describes.
func (r Record) image() Image {
	image := Image{
		ID: r.ID, UserID: r.UserID, RequestID: r.RequestID, Prompt: r.Prompt, NegativePrompt: r.NegativePrompt,
		Size: r.Size, Style: r.Style, Bucket: r.S3Bucket, CreatedAt: r.CreatedAt,
	}
	r.apply(&image)
	return image
}

// final reports whether the record tells of an outcome.
func (r Record) final() bool {
	return r.Status == StatusCompleted || r.Status == StatusFailed || r.Status == StatusCancelled
}

// apply gives the image the outcome that its record tells. The bucket stays the
// one that the row names.
func (r Record) apply(image *Image) {
	image.Status, image.Seed = r.Status, r.Seed
	image.Provider, image.Model = r.Provider, r.Model
	image.Key = r.S3Key
	image.Media = Media{
		Width: r.Width, Height: r.Height, Bytes: r.FileSizeBytes,
		SHA256: r.SHA256, SourceContentType: r.SourceContentType,
	}
	image.Took = time.Duration(r.ProcessingTimeMS) * time.Millisecond
	image.FinishedAt = r.CompletedAt
	if r.Error != nil {
		image.Failure = Failure{Code: r.Error.Code, Detail: r.Error.Detail}
	}
}
