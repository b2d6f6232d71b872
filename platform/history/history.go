// Package history is the object layout of a service's requests: the durable
// record that users own. SQL rows are an index over it that can be rebuilt.
//
//	requests/{yyyy}/{mm}/{dd}/{uuid}/input.json            the parameters, before the provider is called
//	requests/{yyyy}/{mm}/{dd}/{uuid}/record.json           everything about the outcome, written last
//	requests/{yyyy}/{mm}/{dd}/{uuid}/image/original.png    or audio/output.mp3
//	users/{userId}/{service}/history/{yyyy}/{mm}/{dd}.jsonl  one line per request of that user and day
package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// maxDocument is the most bytes an input or record document may have.
const maxDocument = 4 << 20

// Ledger keeps the history of one service in its bucket.
type Ledger struct {
	bucket  blob.Bucket
	service string
}

// New returns the ledger of a service ("image", "speech").
func New(bucket blob.Bucket, service string) *Ledger {
	return &Ledger{bucket: bucket, service: service}
}

// Bucket returns where the ledger keeps its objects.
func (l *Ledger) Bucket() blob.Bucket { return l.bucket }

// Prefix returns where a request's objects are, without a trailing slash. The
// date is the one in the id.
func Prefix(id string) string {
	at, _ := uid.Time(id)
	return "requests/" + at.Format("2006/01/02") + "/" + id
}

// InputKey returns the key of a request's parameters.
func InputKey(id string) string { return Prefix(id) + "/input.json" }

// RecordKey returns the key of a request's full metadata.
func RecordKey(id string) string { return Prefix(id) + "/record.json" }

// MediaKey returns the key of what a request made, such as "image/original.png".
func MediaKey(id, name string) string { return Prefix(id) + "/" + name }

// IndexKey returns the key of a user's daily index.
func (l *Ledger) IndexKey(userID int64, day time.Time) string {
	return fmt.Sprintf("users/%d/%s/history/%s.jsonl", userID, l.service, day.UTC().Format("2006/01/02"))
}

// Line is one entry of a daily index.
type Line struct {
	ID        string    `json:"id"`
	Record    string    `json:"record"` // key of the record document
	CreatedAt time.Time `json:"created_at"`
}

// WriteInput stores a request's parameters as a JSON document.
func (l *Ledger) WriteInput(ctx context.Context, id string, parameters any) error {
	return l.writeDocument(ctx, InputKey(id), parameters)
}

// WriteRecord stores a request's full metadata as a JSON document.
func (l *Ledger) WriteRecord(ctx context.Context, id string, record any) error {
	return l.writeDocument(ctx, RecordKey(id), record)
}

func (l *Ledger) writeDocument(ctx context.Context, key string, document any) error {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	_, err := l.bucket.Put(ctx, key, &data, blob.PutOptions{ContentType: "application/json", MaxBytes: maxDocument})
	return err
}

// ReadRecord reads a request's metadata into record. A request without one is
// a NotFound fault.
func (l *Ledger) ReadRecord(ctx context.Context, id string, record any) error {
	data, err := blob.ReadAll(ctx, l.bucket, RecordKey(id), maxDocument)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, record); err != nil {
		return fault.Wrap(err, fault.Internal, "record_damaged", "A stored record cannot be read.")
	}
	return nil
}

// AppendIndex adds the request to its user's daily index. Requests made
// anonymously (owner nil) have none.
func (l *Ledger) AppendIndex(ctx context.Context, owner *int64, id string) error {
	if owner == nil {
		return nil
	}
	at, _ := uid.Time(id)
	line, err := IndexLine(id)
	if err != nil {
		return err
	}
	return l.bucket.AppendLine(ctx, l.IndexKey(*owner, at), line)
}

// EnsureIndex adds the request to its user's daily index unless it is there,
// to finish what a crash interrupted.
func (l *Ledger) EnsureIndex(ctx context.Context, owner *int64, id string) error {
	if owner == nil {
		return nil
	}
	at, _ := uid.Time(id)
	listed, err := l.listed(ctx, l.IndexKey(*owner, at), id)
	if err != nil || listed {
		return err
	}
	return l.AppendIndex(ctx, owner, id)
}

func (l *Ledger) listed(ctx context.Context, key, id string) (bool, error) {
	reader, err := l.bucket.Open(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = reader.Close() }()
	return containsID(reader, id)
}

// Unlist removes every line of the request from its user's daily index.
func (l *Ledger) Unlist(ctx context.Context, owner *int64, id string) error {
	if owner == nil {
		return nil
	}
	at, _ := uid.Time(id)
	return l.bucket.RemoveLines(ctx, l.IndexKey(*owner, at), func(line []byte) bool { return lineID(line) == id })
}

// Erase removes everything a request left: its line in the daily index, its
// record, its other objects. It may be called again after it failed half-way.
// media names what the request made, such as "image/original.png".
func (l *Ledger) Erase(ctx context.Context, owner *int64, id string, media ...string) error {
	if !uid.Valid(id) {
		return fault.NotFoundf("There is no request with this id.")
	}
	if err := l.Unlist(ctx, owner, id); err != nil {
		return err
	}
	keys := []string{RecordKey(id)}
	for _, name := range media {
		keys = append(keys, MediaKey(id, name))
	}
	for _, key := range append(keys, InputKey(id)) {
		if err := l.bucket.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
