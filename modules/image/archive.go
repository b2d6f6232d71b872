package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"llmhist/platform/archive"
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

// NewArchive returns the archive of the images in db, whose objects are in the
// bucket of this name.
func NewArchive(db *database.DB, bucket string) Archive { return Archive{db, bucket} }

// The streams, in the order in which they can be imported.
const (
	streamImages   = "image.images"
	streamErasures = "image.erasures"
)

// importPage is how many rows are imported at once.
const importPage = 200

// Streams names what there is, in the order of import.
func (a Archive) Streams() []string { return []string{streamImages, streamErasures} }

// HeldStream names the stream whose rows have objects.
func (a Archive) HeldStream() string { return streamImages }

// Service names the daily indexes.
func (a Archive) Service() string { return "image" }

// Import stores the rows of a stream where there are none.
func (a Archive) Import(ctx context.Context, stream string, lines *archive.Lines) error {
	switch stream {
	case streamImages:
		return archive.Pages(lines, importPage, func(page []archivedImage) error { return a.insertImages(ctx, page) })
	case streamErasures:
		return archive.Pages(lines, importPage, func(page []archivedErasure) error { return a.insertErasures(ctx, page) })
	}
	return fmt.Errorf("image has no stream %s", stream)
}

// Complete has nothing to do: triggers count the rows.
func (a Archive) Complete(context.Context) error { return nil }

// Held returns which objects belong to a row of HeldStream.
func (a Archive) Held(row []byte) (history.Held, error) {
	var image archivedImage
	if err := json.Unmarshal(row, &image); err != nil {
		return history.Held{}, errors.New("a row of " + streamImages + " cannot be read")
	}
	held := history.Held{ID: image.ID, Owner: image.UserID, Settled: image.Status != StatusProcessing, Possible: []string{mediaName}}
	if image.Status == StatusCompleted {
		held.Media, held.SHA256 = mediaName, image.SHA256
	}
	return held, nil
}

// archivedImage is a line of image.images, ordered by id.
type archivedImage struct {
	ID             string     `json:"id"`
	UserID         *int64     `json:"user_id"`
	RequestID      string     `json:"request_id"`
	Prompt         string     `json:"prompt"`
	NegativePrompt string     `json:"negative_prompt"`
	Size           string     `json:"size"`
	Style          string     `json:"style"`
	Seed           *int64     `json:"seed"`
	Status         Status     `json:"status"`
	ErrorCode      string     `json:"error_code"`
	ErrorDetail    string     `json:"error_detail"`
	Provider       string     `json:"provider"`
	Model          string     `json:"model"`
	Key            string     `json:"s3_key"`
	Bucket         *string    `json:"s3_bucket"` // null = the installation's own
	Width          int        `json:"width"`
	Height         int        `json:"height"`
	Bytes          int64      `json:"file_size_bytes"`
	SHA256         string     `json:"sha256"`
	SourceType     string     `json:"source_content_type"`
	TookMS         int64      `json:"processing_time_ms"`
	CreatedAt      time.Time  `json:"created_at"`
	FinishedAt     *time.Time `json:"finished_at"`
}

func (a Archive) archivedOf(i Image) archivedImage {
	archived := archivedImage{
		ID: i.ID, UserID: i.UserID, RequestID: i.RequestID, Prompt: i.Prompt, NegativePrompt: i.NegativePrompt,
		Size: i.Size, Style: i.Style, Seed: i.Seed, Status: i.Status, ErrorCode: i.Failure.Code, ErrorDetail: i.Failure.Detail,
		Provider: i.Provider, Model: i.Model, Key: i.Key, Width: i.Media.Width, Height: i.Media.Height, Bytes: i.Media.Bytes,
		SHA256: i.Media.SHA256, SourceType: i.Media.SourceContentType, TookMS: i.Took.Milliseconds(), CreatedAt: i.CreatedAt,
	}
	if i.Bucket != a.bucket {
		archived.Bucket = &i.Bucket
	}
	if !i.FinishedAt.IsZero() {
		archived.FinishedAt = &i.FinishedAt
	}
	return archived
}

func (a Archive) imageOf(archived archivedImage) (Image, error) {
	if !uid.Valid(archived.ID) {
		return Image{}, errors.New("an image has an id that cannot be")
	}
	i := Image{
		ID: archived.ID, UserID: archived.UserID, RequestID: archived.RequestID,
		Prompt: archived.Prompt, NegativePrompt: archived.NegativePrompt, Size: archived.Size, Style: archived.Style, Seed: archived.Seed,
		Status: archived.Status, Failure: Failure{Code: archived.ErrorCode, Detail: archived.ErrorDetail},
		Provider: archived.Provider, Model: archived.Model, Key: archived.Key, Bucket: a.bucket,
		Media: Media{Width: archived.Width, Height: archived.Height, Bytes: archived.Bytes, SHA256: archived.SHA256,
			SourceContentType: archived.SourceType},
		Took: time.Duration(archived.TookMS) * time.Millisecond, CreatedAt: archived.CreatedAt,
	}
	if archived.Bucket != nil {
		i.Bucket = *archived.Bucket
	}
	if archived.FinishedAt != nil {
		i.FinishedAt = *archived.FinishedAt
	}
	return i, nil
}

// archivedErasure is a line of image.erasures, ordered by id.
type archivedErasure struct {
	ID         string `json:"id"`
	UserID     *int64 `json:"user_id"`
	Processing bool   `json:"processing"`
}
