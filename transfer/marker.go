package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// marker says in a store that a transfer is filling it. What is there beside it
// is the transfer's own, and may be overwritten and removed.
type marker struct {
	Set     string    `json:"set"`     // what is being transferred
	Command string    `json:"command"` // that finishes it
	Phase   string    `json:"phase"`
	BegunAt time.Time `json:"begun_at"`
}

// The phases. Rows are visible, to whoever looks past the marker, from the
// second on.
const (
	phaseFilling  = "filling"
	phaseImported = "imported"
	phaseCompared = "compared" // nothing is left to do but to remove the markers
)

const (
	markerKey    = "unfinished_transfer" // in the tables and documents of installation
	markerObject = "unfinished-transfer.json"
)

// ErrUnfinished says that a restore or a copy into an installation was begun and
// has not finished.
var ErrUnfinished = errors.New("has not finished")

// Unfinished returns an error that is ErrUnfinished, and says what to run, when
// db belongs to an installation that a transfer is filling.
func Unfinished(ctx context.Context, db *database.DB) error {
	found, err := findMarker(ctx, db)
	if err != nil || found == nil {
		return err
	}
	return fmt.Errorf("a transfer into this installation, begun %s, %w: run it again to complete it (%s)",
		found.BegunAt.UTC().Format(time.RFC3339), ErrUnfinished, found.Command)
}

func findMarker(ctx context.Context, db *database.DB) (*marker, error) {
	text, err := findValue(ctx, db, markerKey)
	if err != nil || text == "" {
		return nil, err
	}
	var found marker
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return nil, errors.New("the marker of a transfer cannot be read")
	}
	return &found, nil
}

func (m marker) text() string {
	data, err := json.Marshal(m)
	if err != nil { // it always has JSON
		panic(err)
	}
	return string(data)
}

// checkStores is an error when the document database or a bucket has no marker of
// this transfer and is not empty.
func (e Engines) checkStores(ctx context.Context, set string) error {
	if e.Documents != nil {
		there, err := findMarkerDocument(ctx, e.Documents)
		if err != nil {
			return err
		}
		if there != set {
			if err := e.refuseFull(ctx, "the document database", there, e.inDocuments()); err != nil {
				return err
			}
		}
	}
	for _, one := range e.stores() {
		if err := checkBucket(ctx, one.bucket, set); err != nil {
			return err
		}
	}
	return nil
}

// markStores writes the marker into the document database and the buckets.
func (e Engines) markStores(ctx context.Context, set string) error {
	if e.Documents != nil {
		if err := putMarkerDocument(ctx, e.Documents, set); err != nil {
			return err
		}
	}
	for _, one := range e.stores() {
		if err := putMarkerObject(ctx, one.bucket, set); err != nil {
			return err
		}
	}
	return e.flush()
}

// flush makes durable what was put into buckets that wait for it.
func (e Engines) flush() error {
	for _, one := range e.stores() {
		if waits, ok := one.bucket.(interface{ Flush() error }); ok {
			if err := waits.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseFull is an error when a store without our marker holds something.
func (e Engines) refuseFull(ctx context.Context, what, other string, keepers []keeper) error {
	if other != "" {
		return fmt.Errorf("%s is being filled by another transfer: finish that one, or empty it", what)
	}
	for _, one := range keepers {
		count, err := one.Count(ctx)
		if err != nil {
			return err
		}
		if count > 0 {
			return fmt.Errorf("the target is not empty: %s holds %d entries of %s. Name a target that is empty", what, count, one.Streams()[0])
		}
	}
	return nil
}

func checkBucket(ctx context.Context, bucket blob.Bucket, set string) error {
	there, err := blob.ReadAll(ctx, bucket, markerObject, 1<<16)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if string(there) == set {
		return nil
	}
	list, err := bucket.List(ctx, "", "", 1)
	if err != nil {
		return err
	}
	switch {
	case len(there) > 0:
		return fmt.Errorf("the bucket %s is being filled by another transfer: finish that one, or empty it", bucket.Name())
	case len(list) > 0:
		return fmt.Errorf("the target is not empty: the bucket %s holds objects, such as %s. Name a target that is empty", bucket.Name(), list[0].Key)
	}
	return nil
}

func putMarkerObject(ctx context.Context, bucket blob.Bucket, set string) error {
	_, err := bucket.Put(ctx, markerObject, bytes.NewReader([]byte(set)), blob.PutOptions{})
	return err
}

// endStores removes the markers of markStores.
func (e Engines) endStores(ctx context.Context) error {
	for _, one := range e.stores() {
		if err := one.bucket.Delete(ctx, markerObject); err != nil {
			return err
		}
	}
	if e.Documents == nil {
		return nil
	}
	return deleteMarkerDocument(ctx, e.Documents)
}
