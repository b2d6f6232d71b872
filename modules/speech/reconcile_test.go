package speech

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/history"
	"llmhist/platform/testkit"
)

// TestReconcile stops the flow after each of its steps and lets the next start
// finish it.
func TestReconcile(t *testing.T) {
	sound := wavSound(t, 2*time.Second)
	completed := func(c Conversion) Conversion {
		c.Status, c.Duration, c.Size, c.StatusCode = StatusCompleted, 2*time.Second, int64(len(sound)), 200
		return c
	}
	failed := func(c Conversion) Conversion {
		c.Status, c.StatusCode, c.Failure = StatusFailed, 503, &Failure{Code: "provider_unavailable", Detail: "down"}
		return c
	}
	write := func(t *testing.T, b *bench, key string, data []byte) {
		if _, err := b.bucket.Put(t.Context(), key, bytes.NewReader(data), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	media := func(t *testing.T, b *bench, c Conversion) { write(t, b, completed(c).MediaKey(), sound) }
	record := func(t *testing.T, b *bench, c Conversion) {
		if err := b.service.ledger.WriteRecord(t.Context(), c.ID, recordOf(c, "")); err != nil {
			t.Fatal(err)
		}
	}
	line := func(t *testing.T, b *bench, c Conversion) {
		if err := b.service.ledger.AppendIndex(t.Context(), c.UserID, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		left func(t *testing.T, b *bench, c Conversion)
		want func(c Conversion) Conversion // nil = failed with "interrupted"
	}{
		"after the row":    {func(*testing.T, *bench, Conversion) {}, nil},
		"after the input":  {func(t *testing.T, b *bench, c Conversion) { write(t, b, history.InputKey(c.ID), []byte("{}")) }, nil},
		"after the sound":  {media, nil},
		"after the record": {func(t *testing.T, b *bench, c Conversion) { media(t, b, c); record(t, b, completed(c)) }, completed},
		"after the line": {func(t *testing.T, b *bench, c Conversion) {
			media(t, b, c)
			record(t, b, completed(c))
			line(t, b, c)
		}, completed},
		"after the record of a failure": {func(t *testing.T, b *bench, c Conversion) { record(t, b, failed(c)) }, failed},
		"after the line of a failure":   {func(t *testing.T, b *bench, c Conversion) { record(t, b, failed(c)); line(t, b, c) }, failed},
		"after a failure with sound":    {func(t *testing.T, b *bench, c Conversion) { media(t, b, c); record(t, b, failed(c)) }, failed},
		"a record without its sound":    {func(t *testing.T, b *bench, c Conversion) { record(t, b, completed(c)) }, nil},
		"a damaged record":              {func(t *testing.T, b *bench, c Conversion) { write(t, b, history.RecordKey(c.ID), []byte("{")) }, nil},
		"a record of another": {func(t *testing.T, b *bench, c Conversion) {
			other := completed(newConversion(testTime, owner(2)))
			media(t, b, c)
			data := recordOf(other, "")
			if err := b.service.ledger.WriteRecord(t.Context(), c.ID, data); err != nil {
				t.Fatal(err)
			}
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake"))
			c := newConversion(b.clock.Now(), owner(1))
			c.Voice, c.Format, c.Latency = "slt", audio.WAV, 20*time.Millisecond
			mustCreate(t, b.service.repository, c)
			test.left(t, b, c)
			if n, err := b.Reconcile(t.Context()); n != 1 || err != nil {
				t.Fatalf("%d %v", n, err)
			}
			if _, err := b.bucket.Stat(t.Context(), history.InputKey(c.ID)); test.want == nil && err != nil {
				t.Errorf("input: %v", err)
			}
			if test.want == nil {
				b.mustHaveFailed(t, StatusFailed, "interrupted")
				return
			}
			want := test.want(c)
			if want.Status == StatusFailed {
				b.mustHaveFailed(t, StatusFailed, want.Failure.Code)
			}
			if diff := cmp.Diff([]Conversion{want}, b.rows(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			index, err := blob.ReadAll(t.Context(), b.bucket, b.service.ledger.IndexKey(1, c.CreatedAt), 1<<20)
			if err != nil || strings.Count(string(index), "\n") != 1 {
				t.Errorf("index %q %v", index, err)
			}
			if n, err := b.Reconcile(t.Context()); n != 0 || err != nil {
				t.Errorf("the second time: %d %v", n, err)
			}
		})
	}
}

func TestReconcileFinishesManyOnEveryEngine(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		b := &bench{clock: testkit.NewClock(), db: db, bucket: testkit.Bucket(t, "speech-test")}
		b.Module = newModule(&catalog{}, &transcoder{}, b.deps(b.bucket))
		for range reconcileBatch + 5 {
			mustCreate(t, b.service.repository, newConversion(b.clock.Now(), nil))
		}
		if n, err := b.Reconcile(t.Context()); n != reconcileBatch+5 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		for _, c := range b.rows(t) {
			if c.Status != StatusFailed || c.Failure.Code != "interrupted" {
				t.Errorf("%s is %s", c.ID, c.Status)
			}
		}
	})
}
