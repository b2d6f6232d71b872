package blob_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/testkit"
)

func TestAWalkVisitsEveryObjectInTheOrderOfKeys(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		want := []string{"a/b.txt", "a/b/c.txt", "a/b/d.txt", "a/bc.txt", "z.txt"}
		for _, key := range []string{"z.txt", "a/b/d.txt", "a/bc.txt", "a/b/c.txt", "a/b.txt"} {
			if _, err := bucket.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		walk := func(b blob.Bucket, prefix string) []string {
			list := []string{}
			if err := blob.Walk(t.Context(), b, prefix, func(o blob.Object) error { list = append(list, o.Key); return nil }); err != nil {
				t.Fatal(err)
			}
			return list
		}
		for _, b := range []blob.Bucket{bucket, blob.ReadOnly(bucket)} {
			if diff := cmp.Diff(want, walk(b, "")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(want[1:3], walk(b, "a/b/")); diff != "" {
				t.Error(diff)
			}
			if list := walk(b, "nothing/"); len(list) != 0 {
				t.Errorf("nowhere is %v", list)
			}
		}
		stop, visits := errors.New("stop"), 0
		err := blob.Walk(t.Context(), bucket, "", func(blob.Object) error { visits++; return stop })
		if !errors.Is(err, stop) || visits != 1 {
			t.Errorf("%d visits and %v", visits, err)
		}
	})
}

func TestWhatIsReadOnlyIsNotChanged(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	if err := bucket.AppendLine(t.Context(), "lines.jsonl", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	reading := blob.ReadOnly(bucket)
	_, err := reading.Put(t.Context(), "lines.jsonl", strings.NewReader("x"), blob.PutOptions{})
	for _, err := range []error{
		err, reading.Delete(t.Context(), "lines.jsonl"), reading.AppendLine(t.Context(), "lines.jsonl", []byte("x")),
		reading.RemoveLines(t.Context(), "lines.jsonl", func([]byte) bool { return true }),
	} {
		if err == nil {
			t.Error("a change was allowed")
		}
	}
	if data, err := blob.ReadAll(t.Context(), reading, "lines.jsonl", 100); err != nil || string(data) != "kept\n" {
		t.Errorf("%q %v", data, err)
	}
}

func TestAttachingLeavesTemporaryFilesOfOthersAlone(t *testing.T) {
	root := t.TempDir()
	if _, err := blob.OpenDirectory(root, "b", nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "b", ".tmp", "put-1")
	if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	attached := blob.AttachDirectory(root, "b")
	list, err := blob.Temporary(blob.ReadOnly(attached))
	if err != nil || len(list) != 1 || list[0].Key != "put-1" || list[0].Size != 4 {
		t.Fatalf("%v %v", list, err)
	}
	if err := blob.RemoveTemporary(attached, "../put-1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	if err := blob.RemoveTemporary(attached, "put-1"); err != nil {
		t.Error(err)
	}
	if list, err := blob.Temporary(attached); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	missing := blob.AttachDirectory(t.TempDir(), "b")
	if err := blob.Walk(t.Context(), missing, "", func(blob.Object) error { return nil }); err == nil {
		t.Error("a store that is gone was walked as an empty one")
	}
}

func TestABucketThatIsOnlyReadIsNotMade(t *testing.T) {
	options := testkit.S3Options(t)
	options.Existing = true
	if bucket, err := blob.OpenS3(t.Context(), options); err == nil || !strings.Contains(err.Error(), "S3_BUCKET") {
		t.Errorf("%v %v", bucket, err)
	}
	options.Existing = false
	testkit.OpenS3(t, options)
	options.Existing = true
	testkit.OpenS3(t, options)
}
