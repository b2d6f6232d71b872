package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

const key = "requests/2026/01/02/0199-a/image/original.png"

func put(t *testing.T, bucket blob.Bucket, key, content string) blob.Object {
	t.Helper()
	object, err := bucket.Put(t.Context(), key, strings.NewReader(content), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func TestAnObjectComesBackAsItWas(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	for _, content := range []string{"", "x", strings.Repeat("0123456789", 100_000)} {
		object := put(t, bucket, key, content)
		if object.Size != int64(len(content)) || object.ContentType != "image/png" || len(object.SHA256) != 64 {
			t.Fatalf("%+v", object)
		}
		got, err := blob.ReadAll(t.Context(), bucket, key, 1<<20)
		if err != nil || string(got) != content {
			t.Fatalf("%d bytes back, %v", len(got), err)
		}
	}
	if _, err := blob.ReadAll(t.Context(), bucket, key, 10); !fault.Is(err, fault.TooLarge) {
		t.Fatalf("beyond the limit: %v", err)
	}
}

func TestOnlyCheckedKeysReachTheDisk(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	for _, bad := range []string{
		"", "/", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/./b", ".hidden", "a/.tmp/x", `a\b`, "a b", "ä", "a\x00b",
		strings.Repeat("a", 256), strings.Repeat("a/", 600) + "a",
	} {
		if _, err := bucket.Put(t.Context(), bad, strings.NewReader("x"), blob.PutOptions{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("Put(%q): %v", bad, err)
		}
		if _, err := bucket.Open(t.Context(), bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("Open(%q): %v", bad, err)
		}
		if err := bucket.AppendLine(t.Context(), bad, []byte("x")); !fault.Is(err, fault.Invalid) {
			t.Errorf("AppendLine(%q): %v", bad, err)
		}
	}
}

func TestAbsentObjects(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	put(t, bucket, "dir/file", "x")
	for _, absent := range []string{"nothing", "dir", "dir/file/below"} {
		if _, err := bucket.Stat(t.Context(), absent); !fault.Is(err, fault.NotFound) {
			t.Errorf("Stat(%q): %v", absent, err)
		}
		if _, err := bucket.Open(t.Context(), absent); !fault.Is(err, fault.NotFound) {
			t.Errorf("Open(%q): %v", absent, err)
		}
	}
	if err := bucket.Delete(t.Context(), "nothing"); err != nil {
		t.Errorf("deleting what is absent: %v", err)
	}
}

type brokenReader struct{ after io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.after.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("broken")
	}
	return n, err
}

func TestAFailedPutLeavesNothing(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	put(t, bucket, key, "before")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bucket.Put(cancelled, key, strings.NewReader("after"), blob.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := bucket.Put(t.Context(), key, brokenReader{strings.NewReader("after")}, blob.PutOptions{}); err == nil {
		t.Error("a broken source was stored")
	}
	if _, err := bucket.Put(t.Context(), key, strings.NewReader("after"), blob.PutOptions{MaxBytes: 4}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := bucket.Put(t.Context(), key, strings.NewReader("after"), blob.PutOptions{IfAbsent: true}); !fault.Is(err, fault.Conflict) {
		t.Errorf("if absent: %v", err)
	}
	if got, err := blob.ReadAll(t.Context(), bucket, key, 100); err != nil || string(got) != "before" {
		t.Errorf("now %q %v", got, err)
	}
	all, err := bucket.List(t.Context(), "", "", 100)
	if err != nil || len(all) != 1 {
		t.Errorf("%d objects, %v", len(all), err)
	}
}

func TestListIsInKeyOrderAndPagesWithoutGaps(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	want := []string{"a-b/x", "a/b", "a/c/d", "a0", "b"}
	for _, key := range []string{"b", "a0", "a/c/d", "a-b/x", "a/b"} {
		put(t, bucket, key, key)
	}
	got, after := []string{}, ""
	for {
		page, err := bucket.List(t.Context(), "", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, object := range page {
			got = append(got, object.Key)
		}
		after = page[len(page)-1].Key
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v want %v", got, want)
	}
	below, err := bucket.List(t.Context(), "a/", "", 10)
	if err != nil || len(below) != 2 {
		t.Errorf("below a/: %v %v", below, err)
	}
	if none, err := bucket.List(t.Context(), "zzz/", "", 10); err != nil || none == nil || len(none) != 0 {
		t.Errorf("below nothing: %v %v", none, err)
	}
}

func TestNoLineIsLostAmongFiftyWriters(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := bucket.AppendLine(t.Context(), "users/1/day.jsonl", fmt.Appendf(nil, "keep %d", i)); err != nil {
				t.Error(err)
			}
			if err := bucket.AppendLine(t.Context(), "users/1/day.jsonl", fmt.Appendf(nil, "drop %d", i)); err != nil {
				t.Error(err)
			}
			err := bucket.RemoveLines(t.Context(), "users/1/day.jsonl", func(line []byte) bool { return string(line) == fmt.Sprintf("drop %d", i) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	data, err := blob.ReadAll(t.Context(), bucket, "users/1/day.jsonl", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		seen[line] = true
	}
	if len(seen) != 50 || bytes.Contains(data, []byte("drop")) {
		t.Fatalf("%d lines:\n%s", len(seen), data)
	}
}

func TestALineCutShortByACrashIsReplaced(t *testing.T) {
	root := t.TempDir()
	signer := blob.NewSigner(make([]byte, 32), func() string { return "" }, time.Minute, time.Now)
	bucket, err := blob.OpenDirectory(root, "b", signer)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "b", "day.jsonl")
	for before, want := range map[string]string{
		"one\ntw": "one\nnew\n", "one\n": "one\nnew\n", "half": "new\n", "": "new\n",
		strings.Repeat("x", 10_000): "new\n", "one\n" + strings.Repeat("x", 10_000): "one\nnew\n",
	} {
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := bucket.AppendLine(t.Context(), "day.jsonl", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(file); string(got) != want {
			t.Errorf("%.20q became %.40q", before, got)
		}
	}
}

func TestStartingRemovesUnfinishedFiles(t *testing.T) {
	root := t.TempDir()
	left := filepath.Join(root, "b", ".tmp", "put-1")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.OpenDirectory(root, "b", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestSignedLinks(t *testing.T) {
	clock := testkit.NewClock()
	var base string
	signer := blob.NewSigner(bytes.Repeat([]byte{1}, 32), func() string { return base }, 5*time.Minute, clock.Now)
	bucket, err := blob.OpenDirectory(t.TempDir(), "b", signer)
	if err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, func(router *web.Router) { blob.Mount(router, signer, bucket) })
	put(t, bucket, key, "0123456789")
	link, err := bucket.SignedURL(t.Context(), key)
	if err != nil || link.ExpiresIn != 5*time.Minute {
		t.Fatal(link, err)
	}
	get := func(path, ranges string) (int, string, http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Range", ranges)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body), response.Header
	}
	if status, body, header := get(link.URL, ""); status != 200 || body != "0123456789" || header.Get("Content-Type") != "image/png" {
		t.Errorf("%d %q %v", status, body, header)
	}
	if status, body, _ := get(link.URL, "bytes=2-4"); status != 206 || body != "234" {
		t.Errorf("range: %d %q", status, body)
	}
	for name, path := range map[string]string{
		"another key":       strings.Replace(link.URL, "0199-a", "0199-b", 1),
		"another signature": link.URL[:len(link.URL)-1] + "x",
		"a later end":       strings.Replace(link.URL, "expires=1", "expires=2", 1),
		"no signature":      "/files/b/" + key,
		"another bucket":    strings.Replace(link.URL, "/files/b/", "/files/c/", 1),
		"a climbing key":    "/files/b/..%2f..%2fetc%2fpasswd?expires=1&signature=x",
	} {
		if status, _, _ := get(path, ""); status != 403 {
			t.Errorf("%s: %d", name, status)
		}
	}
	clock.Advance(5 * time.Minute)
	if status, _, _ := get(link.URL, ""); status != 403 {
		t.Errorf("expired: %d", status)
	}
}
