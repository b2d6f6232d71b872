package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// What every engine must do. Each test states a part of the Bucket contract and
// runs on a directory and on an S3 server.

const key = "requests/2026/01/02/0199-a/image/original.png"

func put(t *testing.T, bucket blob.Bucket, key, content string) blob.Object {
	t.Helper()
	object, err := bucket.Put(t.Context(), key, strings.NewReader(content), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func content(t *testing.T, bucket blob.Bucket, key string) string {
	t.Helper()
	data, err := blob.ReadAll(t.Context(), bucket, key, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func TestAnObjectComesBackAsItWas(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		for _, text := range []string{"", "x", strings.Repeat("0123456789", 100_000)} {
			before := time.Now()
			object := put(t, bucket, key, text)
			want := blob.Object{Key: key, Size: int64(len(text)), ContentType: "image/png", SHA256: sumOf(text), ModifiedAt: object.ModifiedAt}
			if diff := cmp.Diff(want, object); diff != "" {
				t.Fatalf("put (-want +got):\n%s", diff)
			}
			if got := content(t, bucket, key); got != text {
				t.Fatalf("%d bytes back of %d", len(got), len(text))
			}
			reader, err := bucket.Open(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			stat, err := bucket.Stat(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			for name, got := range map[string]blob.Object{"open": reader.Object(), "stat": stat} {
				if drift := got.ModifiedAt.Sub(before); drift < -5*time.Second || drift > 5*time.Second || got.ModifiedAt.Location() != time.UTC {
					t.Errorf("%s: modified at %v", name, got.ModifiedAt)
				}
				got.ModifiedAt = want.ModifiedAt
				if got.SHA256 == "" && !hasHashes(t) {
					got.SHA256 = want.SHA256
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
		if _, err := blob.ReadAll(t.Context(), bucket, key, 10); !fault.Is(err, fault.TooLarge) {
			t.Fatalf("beyond the limit: %v", err)
		}
	})
}

// hasHashes reports whether this machine's temporary files keep a hash, which
// a directory does without where it cannot be.
func hasHashes(t *testing.T) bool {
	t.Helper()
	bucket := testkit.Bucket(t, "probe")
	put(t, bucket, "probe", "x")
	object, err := bucket.Stat(t.Context(), "probe")
	return err == nil && object.SHA256 != ""
}

func TestAnyKindOfReaderIsStored(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		large := strings.Repeat("0123456789abcdef", 200_000) // more than is held in memory
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if _, err := file.WriteString("skipped" + large); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(int64(len("skipped")), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		pipe, write := io.Pipe()
		go func() { _, err := io.WriteString(write, large); write.CloseWithError(err) }()
		for name, body := range map[string]io.Reader{
			"buffer": bytes.NewBufferString(large), "byte by byte": iotest.OneByteReader(strings.NewReader(large[:5000])),
			"file from its position": file, "pipe": pipe, "data with the end": iotest.DataErrReader(strings.NewReader(large)),
		} {
			want := large
			if name == "byte by byte" {
				want = large[:5000]
			}
			object, err := bucket.Put(t.Context(), key, body, blob.PutOptions{MaxBytes: int64(len(want))})
			if err != nil || object.SHA256 != sumOf(want) || object.Size != int64(len(want)) {
				t.Errorf("%s: %v %+v", name, err, object)
			}
			if stat, err := bucket.Stat(t.Context(), key); err != nil || stat.Size != int64(len(want)) {
				t.Errorf("%s: stat %v %+v", name, err, stat)
			}
		}
	})
}

func TestOnlyCheckedKeysReachTheStore(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		for _, bad := range []string{
			"", "/", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/./b", ".hidden", "a/.tmp/x", `a\b`, "a b", "ä", "a\x00b", "a?b", "a%2fb",
			strings.Repeat("a", 256), strings.Repeat("a/", 600) + "a",
		} {
			_, put := bucket.Put(t.Context(), bad, strings.NewReader("x"), blob.PutOptions{})
			_, open := bucket.Open(t.Context(), bad)
			_, stat := bucket.Stat(t.Context(), bad)
			_, sign := bucket.SignedURL(t.Context(), bad)
			for name, err := range map[string]error{
				"Put": put, "Open": open, "Stat": stat, "SignedURL": sign, "Delete": bucket.Delete(t.Context(), bad),
				"AppendLine":  bucket.AppendLine(t.Context(), bad, []byte("x")),
				"RemoveLines": bucket.RemoveLines(t.Context(), bad, func([]byte) bool { return true }),
			} {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("%s(%q): %v", name, bad, err)
				}
			}
		}
		for _, bad := range []string{"/", "../", "a//", ".tmp/", "a b"} {
			if _, err := bucket.List(t.Context(), bad, "", 1); !fault.Is(err, fault.Invalid) {
				t.Errorf("List(%q): %v", bad, err)
			}
		}
	})
}

func TestAbsentObjects(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		put(t, bucket, "dir/file", "x")
		for _, absent := range []string{"nothing", "dir", "dir/file/below"} {
			_, stat := bucket.Stat(t.Context(), absent)
			_, open := bucket.Open(t.Context(), absent)
			for name, err := range map[string]error{"Stat": stat, "Open": open} {
				if !fault.Is(err, fault.NotFound) || fault.CodeOf(err) != "not_found" {
					t.Errorf("%s(%q): %v", name, absent, err)
				}
			}
			if err := bucket.Delete(t.Context(), absent); err != nil {
				t.Errorf("Delete(%q): %v", absent, err)
			}
			if err := bucket.RemoveLines(t.Context(), absent, func([]byte) bool { return true }); absent == "nothing" && err != nil {
				t.Errorf("RemoveLines(%q): %v", absent, err)
			}
		}
		for range 2 {
			if err := bucket.Delete(t.Context(), "dir/file"); err != nil {
				t.Error(err)
			}
			if _, err := bucket.Stat(t.Context(), "dir/file"); !fault.Is(err, fault.NotFound) {
				t.Errorf("deleted: %v", err)
			}
		}
	})
}

func TestAFailedPutLeavesNothing(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		put(t, bucket, key, "before")
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := bucket.Put(cancelled, key, strings.NewReader("after"), blob.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := bucket.AppendLine(cancelled, "day.jsonl", []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled line: %v", err)
		}
		for size, start := range map[string]string{"small": "after", "large": strings.Repeat("after", 500_000)} {
			broken := io.MultiReader(strings.NewReader(start), iotest.ErrReader(errors.New("broken")))
			if _, err := bucket.Put(t.Context(), key, broken, blob.PutOptions{}); err == nil {
				t.Errorf("a broken source was stored (%s)", size)
			}
			for kind, body := range map[string]io.Reader{"seekable": strings.NewReader(start), "stream": bytes.NewBufferString(start)} {
				if _, err := bucket.Put(t.Context(), key, body, blob.PutOptions{MaxBytes: int64(len(start)) - 1}); !fault.Is(err, fault.TooLarge) {
					t.Errorf("too large (%s, %s): %v", size, kind, err)
				}
			}
		}
		if _, err := bucket.Put(t.Context(), key, strings.NewReader("after"), blob.PutOptions{IfAbsent: true}); !fault.Is(err, fault.Conflict) ||
			fault.CodeOf(err) != "object_exists" {
			t.Errorf("if absent: %v", err)
		}
		if got := content(t, bucket, key); got != "before" {
			t.Errorf("now %q", got)
		}
		all, err := bucket.List(t.Context(), "", "", 100)
		if err != nil || len(all) != 1 {
			t.Errorf("%d objects, %v", len(all), err)
		}
	})
}

func TestOneOfManyCreatesWins(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		var wg sync.WaitGroup
		outcomes := make(chan error, 20)
		for i := range cap(outcomes) {
			wg.Go(func() {
				_, err := bucket.Put(t.Context(), key, strings.NewReader(fmt.Sprint(i)), blob.PutOptions{IfAbsent: true})
				outcomes <- err
			})
		}
		wg.Wait()
		close(outcomes)
		won := 0
		for err := range outcomes {
			if err == nil {
				won++
			} else if !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d creates won", won)
		}
	})
}

func TestAReaderReadsFromAnyPosition(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		text := strings.Repeat("0123456789", 50_000)
		put(t, bucket, key, text)
		reader, err := bucket.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			offset int64
			whence int
			want   int64
		}{
			{0, io.SeekStart, 0}, {-3, io.SeekEnd, 499_997}, {123_456, io.SeekStart, 123_456}, {-5, io.SeekCurrent, 123_456},
			{500_000, io.SeekStart, 500_000}, {10, io.SeekEnd, 500_010}, {7, io.SeekStart, 7},
		} {
			at, err := reader.Seek(step.offset, step.whence)
			if err != nil || at != step.want {
				t.Fatalf("seek %+v: %d %v", step, at, err)
			}
			buffer := make([]byte, 5)
			n, err := io.ReadFull(reader, buffer)
			rest := text[min(at, int64(len(text))):]
			if want := rest[:min(5, len(rest))]; string(buffer[:n]) != want || (len(want) == 5) != (err == nil) {
				t.Errorf("at %d: %q, %v, want %q", at, buffer[:n], err, want)
			}
		}
		if _, err := reader.Seek(-1, io.SeekStart); err == nil {
			t.Error("sought before the start")
		}
		if _, err := reader.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if all, err := io.ReadAll(reader); err != nil || string(all) != text {
			t.Errorf("all: %d bytes, %v", len(all), err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		if n, err := reader.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d after close", n)
		}
	})
}

func TestAReaderNeverMixesTwoVersions(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		put(t, bucket, key, strings.Repeat("a", 300_000))
		reader, err := bucket.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		if _, err := io.ReadFull(reader, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		put(t, bucket, key, strings.Repeat("b", 300_000))
		if _, err := reader.Seek(200_000, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(reader)
		if bytes.ContainsRune(rest, 'b') || (err == nil && len(rest) != 100_000) || (err != nil && !fault.Is(err, fault.Conflict)) {
			t.Errorf("%d bytes %.10q, %v", len(rest), rest, err)
		}
	})
}

func TestListIsInKeyOrderAndPagesWithoutGaps(t *testing.T) {
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		want := []string{"A/x", "a-b/x", "a.b", "a/b", "a/c/d", "a/c0", "a0", "a_b/x", "b"}
		for i := range want {
			put(t, bucket, want[(i*5)%len(want)], "x")
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			got, after := []string{}, ""
			for {
				page, err := bucket.List(t.Context(), "", after, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				if len(page) > limit {
					t.Fatalf("%d objects for a limit of %d", len(page), limit)
				}
				for _, object := range page {
					got = append(got, object.Key)
					if object.Size != 1 || object.ContentType == "" || object.ModifiedAt.IsZero() {
						t.Errorf("%+v", object)
					}
				}
				after = page[len(page)-1].Key
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
			}
		}
		for _, query := range []struct{ prefix, after, want string }{
			{"a/", "", "a/b a/c/d a/c0"}, {"a/", "a/b", "a/c/d a/c0"}, {"a/c", "", "a/c/d a/c0"}, {"a/c/", "", "a/c/d"},
			{"a", "a/c1", "a0 a_b/x"}, {"a/", "Z", "a/b a/c/d a/c0"}, {"a/", "b", ""}, {"zzz/", "", ""}, {"", "a_", "a_b/x b"},
		} {
			list, err := bucket.List(t.Context(), query.prefix, query.after, 10)
			if err != nil || list == nil {
				t.Fatal(list, err)
			}
			keys := []string{}
			for _, object := range list {
				keys = append(keys, object.Key)
			}
			if got := strings.Join(keys, " "); got != query.want {
				t.Errorf("below %q after %q: %s, want %s", query.prefix, query.after, got, query.want)
			}
		}
	})
}

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
