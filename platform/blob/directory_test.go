package blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

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

func TestALargeDownloadStreamsInFlatMemory(t *testing.T) {
	const size = 64 << 20
	var base string
	signer := blob.NewSigner(bytes.Repeat([]byte{1}, 32), func() string { return base }, 5*time.Minute, time.Now)
	bucket, err := blob.OpenDirectory(t.TempDir(), "b", signer)
	if err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, func(router *web.Router) { blob.Mount(router, signer, bucket) })
	if _, err := bucket.Put(t.Context(), key, noise(size), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	link, err := bucket.SignedURL(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{0, size / 2} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+link.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || n != size-from {
			t.Fatal(n, err)
		}
		runtime.ReadMemStats(&after)
		// All that was ever allocated, by the server and the client.
		if total := after.TotalAlloc - before.TotalAlloc; total > 4<<20 {
			t.Errorf("%d MiB were allocated to serve %d MiB", total>>20, n>>20)
		}
	}
}

func TestADirectoryThatIsBeingFilledHoldsWhatIsPut(t *testing.T) {
	root := t.TempDir()
	filling, err := blob.FillDirectory(root, "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"requests/2026/11/25/x/image/original.png", "requests/2026/11/25/x/record.json"} {
		if _, err := filling.Put(t.Context(), key, strings.NewReader(key), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := filling.Flush(); err != nil {
		t.Fatal(err)
	}
	view := blob.AttachDirectory(root, "b")
	data, err := blob.ReadAll(t.Context(), view, "requests/2026/11/25/x/record.json", 1000)
	if err != nil || string(data) != "requests/2026/11/25/x/record.json" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestAViewLeavesTheWritesOfAServerAlone(t *testing.T) {
	root := t.TempDir()
	if _, err := blob.OpenDirectory(root, "b", nil); err != nil {
		t.Fatal(err)
	}
	inFlight := filepath.Join(root, "b", ".tmp", "put-1")
	if err := os.WriteFile(inFlight, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = blob.AttachDirectory(root, "b")
	if _, err := os.Stat(inFlight); err != nil {
		t.Error(err)
	}
	if _, err := blob.AttachDirectory(root, "absent").Stat(t.Context(), "a"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}
