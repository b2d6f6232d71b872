//go:build !race

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/check"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// seedImages makes many failed images, which have no picture, spread over 20
// days. Their files are written without waiting for the disk.
func seedImages(t *testing.T, at installation, count int) {
	t.Helper()
	root := filepath.Join(at.config.Data.Dir, "objects", at.config.S3.Bucket)
	const batch = 1000 // rows that are stored well within the time of one write
	at.inflict(t, func(h harm) {
		for first := 0; first < count; first += batch {
			err := h.db.Write(t.Context(), func(tx *gorm.DB) error {
				for i := first; i < min(first+batch, count); i++ {
					made := time.Now().Add(time.Duration(i)*(20*24*time.Hour/time.Duration(count)) - 21*24*time.Hour).UTC().Truncate(time.Millisecond)
					if err := seedImage(tx, root, uid.New(made), made); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func seedImage(tx *gorm.DB, root, id string, made time.Time) error {
	record, err := json.Marshal(object{
		"id": id, "status": "failed", "prompt": "p", "size": "64x64", "s3_bucket": "b", "input_key": history.InputKey(id),
		"error": object{"code": "c", "detail": "d"}, "created_at": made, "completed_at": made, "user_id": nil,
	})
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, history.Prefix(id)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, history.RecordKey(id)), record, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, history.InputKey(id)), []byte("{}"), 0o600)
	}
	if err != nil {
		return err
	}
	metadata := fmt.Sprintf(`{"completed_at":%q}`, made.Format(time.RFC3339Nano))
	return tx.Exec(`INSERT INTO images (id, prompt, size, status, error_code, error_detail, s3_bucket, metadata, created_at, updated_at)
		VALUES (?, 'p', '64x64', 'failed', 'c', 'd', 'b', ?, ?, ?)`, id, metadata, made, made).Error
}

// TestTheMemoryOfACheckStaysFlat compares the memory that checks of few and of
// many requests need, whole ones and ones that lost every row.
func TestTheMemoryOfACheckStaysFlat(t *testing.T) {
	few, many := 400, 2000
	if requireAll() {
		few, many = 10_000, 30_000
	}
	s := boot(t)
	at := installation{config: s.app.config}
	s.stop()
	held := map[int][2]uint64{}
	seeded := 0
	for _, size := range []int{few, many} {
		seedImages(t, at, size-seeded)
		seeded = size
		whole := heldWhile(func() {
			if found := at.checked(t, check.Options{}); !found.Clean {
				t.Fatalf("%v", found.Counts)
			}
		})
		at.inflict(t, func(h harm) { h.loose("UPDATE images SET prompt = 'q'") })
		wrong := heldWhile(func() {
			if found := at.checked(t, check.Options{}); found.Counts["row_differs"].Found != int64(size) || len(found.Findings) > 1000 {
				t.Fatalf("%v", found.Counts)
			}
		})
		at.inflict(t, func(h harm) { h.loose("UPDATE images SET prompt = 'p'") })
		held[size] = [2]uint64{whole, wrong}
		t.Logf("%d requests: %d KiB whole, %d KiB with every row wrong", size, whole>>10, wrong>>10)
	}
	const slack = 3 << 20
	for i, kind := range []string{"whole", "with every row wrong"} {
		if held[many][i] > held[few][i]+slack {
			t.Errorf("%s: %d requests need %d KiB, %d need %d KiB", kind, few, held[few][i]>>10, many, held[many][i]>>10)
		}
	}
}

// heldWhile returns how much more memory is in use while work is done than
// before it: the median of what collections find. The highest would tell of the
// collector: what is allocated while it marks counts as in use, which is the more
// the busier the machine is.
func heldWhile(work func()) uint64 {
	before := liveHeap()
	var found []uint64
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			found = append(found, liveHeap())
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	work()
	close(ended)
	<-gone
	slices.Sort(found)
	held := found[len(found)/2]
	return held - min(before, held)
}

// liveHeap returns the bytes that a collection finds in use.
func liveHeap() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
