// Package uid makes and reads UUIDv7 ids (RFC 9562 section 5.7): an object's
// date, and with it the place where it is stored, follows from its id.
package uid

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// New returns the id of something that happens at t, in the canonical
// lower-case form of 36 characters.
func New(t time.Time) string {
	var id uuid.UUID
	_, _ = rand.Read(id[:]) // never fails: crypto/rand aborts the process instead
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id.String()
}

// Valid reports whether id is a UUIDv7 in canonical form, so that one object
// has exactly one spelling of its id.
func Valid(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.Version() == 7 && parsed.String() == id
}

// Time returns the moment in the id, in UTC with millisecond precision, and
// false for an id that is not Valid.
func Time(id string) (time.Time, bool) {
	if !Valid(id) {
		return time.Time{}, false
	}
	parsed := uuid.MustParse(id)
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(parsed[i])
	}
	return time.UnixMilli(ms).UTC(), true
}

// Now returns the current time as it is stored: UTC, whole milliseconds.
func Now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// Bound returns a text that sorts after every id made before t and before every
// id made at t or later.
func Bound(t time.Time) string {
	hex := fmt.Sprintf("%012x", max(t.UnixMilli(), 0))
	return hex[:8] + "-" + hex[8:]
}
