// Package archive is the portable form of what an installation holds: streams
// of rows as JSON Lines, each in a total order, objects, and a manifest of
// counts and hashes that is written last. A set is a plain directory or one tar
// file, compressed or not:
//
//	objects/{bucket}/{key}   the objects, in the order of bucket and key
//	rows/{stream}.jsonl      one row a line
//	objects.jsonl            {bucket, key, size, sha256} of each object, in order
//	keys/{name}              secrets, only when asked for
//	manifest.json            what has to be there
//
// What is written here appears under its name only when it is whole and durable.
// What is read here is believed only when every count and hash is right.
package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Format is the version of the form. A reader refuses a newer one.
const Format = 1

// Manifest says what a set holds. It is written last: a set without one was
// interrupted.
type Manifest struct {
	Format    int       `json:"format"`
	Product   string    `json:"product"`
	Version   string    `json:"version"` // of the product
	Schema    int64     `json:"schema"`  // number of the last migration
	CreatedAt time.Time `json:"created_at"`
	Engines   Engines   `json:"engines"` // that it came from
	Streams   []Stream  `json:"streams"` // in the order in which they are stored
	Objects   Objects   `json:"objects"`
	Keys      []Object  `json:"keys,omitempty"` // their bucket is ""
	Missing   Missing   `json:"missing"`
}

// Engines names the kinds of stores a set came from.
type Engines struct {
	SQL       string `json:"sql"`
	Documents string `json:"documents"`
	Objects   string `json:"objects"`
}

// Stream is the sum over one stream of rows.
type Stream struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Objects is the sum over all objects.
type Objects struct {
	Count int64  `json:"count"`
	Bytes int64  `json:"bytes"`
	List  Stream `json:"list"` // objects.jsonl
}

// Object is one line of objects.jsonl.
type Object struct {
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Missing counts what should have been in the set and was not there, or was not
// what its hash says.
type Missing struct {
	Count int64    `json:"count"`
	First []string `json:"first,omitempty"` // at most maxNamed of them, each with its reason
}

const maxNamed = 100

// Add counts one more. It keeps the first few.
func (m *Missing) Add(what string) {
	m.Count++
	if len(m.First) < maxNamed {
		m.First = append(m.First, what)
	}
}

// Stream returns the sum over the stream called name, zero when there is none.
func (m Manifest) Stream(name string) Stream {
	for _, stream := range m.Streams {
		if stream.Name == name {
			return stream
		}
	}
	return Stream{Name: name}
}

// Rows returns how many rows there are in all streams.
func (m Manifest) Rows() int64 {
	var rows int64
	for _, stream := range m.Streams {
		rows += stream.Rows
	}
	return rows
}

// ObjectStream is the name of the stream of Object lines.
const ObjectStream = "objects"

const (
	manifestName = "manifest.json"
	listName     = "objects.jsonl"
	maxManifest  = 4 << 20
	maxObject    = 5 << 30
	maxKeyFile   = 64 << 10
)

var (
	streamName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]+(\.[a-z_]+)?$`) })
	keyName    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z_]*\.[a-z]+$`) })
	objectName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$`) })
)

// pathOf returns where a stream is in a set.
func pathOf(stream string) string {
	if stream == ObjectStream {
		return listName
	}
	return "rows/" + stream + ".jsonl"
}

// streamOf is the reverse of pathOf, "" for what is no stream.
func streamOf(path string) string {
	if path == listName {
		return ObjectStream
	}
	name, isRows := strings.CutPrefix(path, "rows/")
	name, isLines := strings.CutSuffix(name, ".jsonl")
	if !isRows || !isLines || name == ObjectStream || !streamName().MatchString(name) {
		return ""
	}
	return name
}

// path returns where an object is in a set.
func (o Object) path() string { return "objects/" + o.Bucket + "/" + o.Key }

// objectAt is the reverse of Object.path.
func objectAt(path string) (Object, bool) {
	rest, found := strings.CutPrefix(path, "objects/")
	if !found || len(rest) > 1100 || !objectName().MatchString(rest) {
		return Object{}, false
	}
	bucket, key, _ := strings.Cut(rest, "/")
	return Object{Bucket: bucket, Key: key}, true
}

// Before reports whether o comes before other in a set.
func (o Object) Before(other Object) bool {
	if o.Bucket != other.Bucket {
		return o.Bucket < other.Bucket
	}
	return o.Key < other.Key
}

// keyAt returns the name of a secret, "" for what is none.
func keyAt(path string) string {
	name, found := strings.CutPrefix(path, "keys/")
	if !found || !keyName().MatchString(name) {
		return ""
	}
	return name
}

// line returns a row as it stands in a stream, with its line break.
func line(row any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(row); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// parseManifest reads a manifest and refuses one it cannot understand.
func parseManifest(data []byte) (Manifest, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil || version.Format < 1 {
		return Manifest{}, errors.New("its manifest.json cannot be read")
	}
	if version.Format > Format {
		return Manifest{}, fmt.Errorf("it has format %d and this release reads up to %d: restore it with the release that made it, or a newer one", version.Format, Format)
	}
	var m Manifest
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return Manifest{}, errors.New("its manifest.json cannot be read")
	}
	return m, nil
}
