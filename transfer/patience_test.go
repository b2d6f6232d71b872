package transfer_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
)

// faltering is a bucket that does not answer every fifth time it is asked for an
// object.
type faltering struct {
	blob.Bucket
	asked atomic.Int64
}

func (f *faltering) Open(ctx context.Context, key string) (blob.Reader, error) {
	if f.asked.Add(1)%5 == 0 {
		return nil, fault.New(fault.Unavailable, "storage_unavailable", "The store does not answer right now.")
	}
	return f.Bucket.Open(ctx, key)
}

func TestAStoreThatFaltersIsAskedAgain(t *testing.T) {
	from := embedded(t)
	original := newFixture(t).write(t, filepath.Join(t.TempDir(), "o"), schema(t, from.DB))
	if err := restore(t, original, from); err != nil {
		t.Fatal(err)
	}
	store := &faltering{Bucket: from.Images}
	from.Images = store
	_, reader := backup(t, from, "b")
	if reader.Manifest.Objects != original.Manifest.Objects {
		t.Errorf("%+v, want %+v", reader.Manifest.Objects, original.Manifest.Objects)
	}
	if store.asked.Load() < 100 {
		t.Errorf("it was asked %d times", store.asked.Load())
	}
}
