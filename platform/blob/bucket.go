// Package blob keeps objects: the durable history of requests and what they
// made. A Bucket is one named space of keys. The directory engine is the
// embedded default, the S3 engine keeps the same keys in an object store.
package blob

import (
	"context"
	"io"
	"mime"
	"path"
	"strings"
	"time"

	"llmhist/platform/fault"
)

// Object describes a stored object.
type Object struct {
	Key         string
	Size        int64
	ContentType string // from the key's extension
	// SHA256 is the hash of the content in hex, as kept with the object. Put
	// always sets it, List never. Open and Stat leave it empty when the store
	// has none: a file system without extended attributes, a copy made without
	// them, an object written by other tools, a file that lines were added to.
	SHA256     string
	ModifiedAt time.Time
}

// PutOptions says how to store an object.
type PutOptions struct {
	ContentType string // what an object store is told; "" = from the key's extension
	IfAbsent    bool   // Conflict fault with code "object_exists" instead of replacing
	MaxBytes    int64  // TooLarge fault beyond it; 0 = what the store takes (S3: 5 GiB)
}

// Reader is an open object. Content that replaces the object meanwhile never
// mixes in: the reader goes on with what it opened, or fails. Close it.
type Reader interface {
	io.ReadSeekCloser
	Object() Object
}

// Bucket stores objects under checked keys. Every method returns a NotFound
// fault (code "not_found") for an object that is absent where it needs one, an
// Invalid fault for a key that is not ValidKey, OutOfSpace when the store is
// full and Unavailable when it does not answer.
type Bucket interface {
	// Name returns the bucket's name as it appears in URLs and records.
	Name() string
	// Put stores body completely or not at all. It is durable on return. After
	// an Unavailable fault a store across a network may have it nevertheless.
	Put(ctx context.Context, key string, body io.Reader, options PutOptions) (Object, error)
	// Open returns the object for reading from any position.
	Open(ctx context.Context, key string) (Reader, error)
	// Stat describes the object.
	Stat(ctx context.Context, key string) (Object, error)
	// Delete removes the object. An absent object is no error.
	Delete(ctx context.Context, key string) error
	// List returns up to limit (at least 1) objects whose keys start with prefix
	// and sort after the key "after", in key order, without their hashes.
	List(ctx context.Context, prefix, after string, limit int) ([]Object, error)
	// AppendLine adds line and a newline to the object, creating it when
	// absent. Lines of concurrent callers, of other processes too, are all
	// kept whole. It is durable on return. After an Unavailable fault a store
	// across a network may have the line nevertheless, so a repeated line is
	// possible and a lost one is not.
	AppendLine(ctx context.Context, key string, line []byte) error
	// RemoveLines rewrites the object without the lines that drop reports. An
	// absent object is no error. It never loses a line appended meanwhile, for
	// which drop may be asked about a line again, on another goroutine, and an
	// object store keeps an empty object where no line stays: it cannot delete
	// on a condition. A directory removes the file.
	RemoveLines(ctx context.Context, key string, drop func(line []byte) bool) error
	// SignedURL returns a URL that serves the object to whoever holds it,
	// without credentials, until it expires.
	SignedURL(ctx context.Context, key string) (SignedURL, error)
}

// SignedURL is a link with an end.
type SignedURL struct {
	URL       string
	ExpiresIn time.Duration
}

const maxKeyBytes = 1024

// ValidKey reports whether key is a relative slash-separated path whose every
// segment is made of letters, digits, '.', '_' and '-' and does not begin with
// a dot. Nothing else reaches a file system or an object store.
func ValidKey(key string) bool {
	if key == "" || len(key) > maxKeyBytes {
		return false
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment[0] == '.' || len(segment) > 255 {
			return false
		}
		for i := range len(segment) {
			c := segment[i]
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
				return false
			}
		}
	}
	return true
}

func checkKey(key string) error {
	if ValidKey(key) {
		return nil
	}
	return fault.New(fault.Invalid, "invalid_key", "This is not the key of an object.")
}

// contentTypeOf returns the type an object is served as, from its extension
// alone: what a store is told by others is never trusted.
func contentTypeOf(key string) string {
	switch path.Ext(key) {
	case ".png":
		return "image/png"
	case ".mp3":
		return "audio/mpeg"
	case ".wav":
		return "audio/wav"
	case ".json":
		return "application/json"
	case ".jsonl":
		return "application/jsonl"
	}
	if known := mime.TypeByExtension(path.Ext(key)); known != "" {
		return known
	}
	return "application/octet-stream"
}

// ReadAll reads a whole object of at most limit bytes.
func ReadAll(ctx context.Context, b Bucket, key string, limit int64) ([]byte, error) {
	reader, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()
	if reader.Object().Size > limit {
		return nil, fault.New(fault.TooLarge, "object_too_large", "A stored object is larger than expected.")
	}
	return io.ReadAll(io.LimitReader(reader, limit))
}
