package blob_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestLinesAreAddedAndRemoved(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		const day = "users/1/image/history/2026/01/02.jsonl"
		for _, line := range []string{"one", "", "two ünï 🙂", "three"} {
			if err := bucket.AppendLine(t.Context(), day, []byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		if got := content(t, bucket, day); got != "one\n\ntwo ünï 🙂\nthree\n" {
			t.Fatalf("%q", got)
		}
		if err := bucket.AppendLine(t.Context(), day, []byte("a\nb")); !fault.Is(err, fault.Internal) {
			t.Errorf("two lines at once: %v", err)
		}
		drop := func(unwanted string) {
			t.Helper()
			if err := bucket.RemoveLines(t.Context(), day, func(line []byte) bool { return string(line) == unwanted }); err != nil {
				t.Fatal(err)
			}
		}
		drop("two ünï 🙂")
		drop("never there")
		drop("")
		if got := content(t, bucket, day); got != "one\nthree\n" {
			t.Fatalf("%q", got)
		}
		if stat, err := bucket.Stat(t.Context(), day); err != nil || stat.Size != 10 || (stat.SHA256 != "" && stat.SHA256 != sumOf("one\nthree\n")) {
			t.Errorf("%+v %v", stat, err)
		}
		drop("one")
		drop("three")
		if left, err := blob.ReadAll(t.Context(), bucket, day, 10); len(left) > 0 || (err != nil && !fault.Is(err, fault.NotFound)) {
			t.Errorf("%q %v", left, err)
		}
		if err := bucket.AppendLine(t.Context(), day, []byte("again")); err != nil {
			t.Fatal(err)
		}
		if got := content(t, bucket, day); got != "again\n" {
			t.Errorf("%q", got)
		}
		if stat, err := bucket.Stat(t.Context(), day); err != nil || (stat.SHA256 != "" && stat.SHA256 != sumOf("again\n")) {
			t.Errorf("the hash of other content: %+v %v", stat, err)
		}
	})
}

func TestALineAfterAPutHasNoStaleHash(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		put(t, bucket, "day.jsonl", "one\ncut sho")
		if err := bucket.AppendLine(t.Context(), "day.jsonl", []byte("two")); err != nil {
			t.Fatal(err)
		}
		stat, err := bucket.Stat(t.Context(), "day.jsonl")
		if err != nil || (stat.SHA256 != "" && stat.SHA256 != sumOf("one\ntwo\n")) {
			t.Errorf("%+v %v", stat, err)
		}
		if got := content(t, bucket, "day.jsonl"); got != "one\ntwo\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestNoLineIsLostAmongFiftyWriters(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		const day = "users/1/day.jsonl"
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				dropped := fmt.Sprintf("drop %d", i)
				for _, err := range []error{
					bucket.AppendLine(t.Context(), day, fmt.Appendf(nil, "keep %02d", i)),
					bucket.AppendLine(t.Context(), day, []byte(dropped)),
					bucket.RemoveLines(t.Context(), day, func(line []byte) bool { return string(line) == dropped }),
				} {
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got := slices.Sorted(strings.Lines(content(t, bucket, day)))
		want := []string{}
		for i := range 50 {
			want = append(want, fmt.Sprintf("keep %02d\n", i))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}
