package blob_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
)

func TestMain(m *testing.M) {
	if isChild() {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

func TestOpeningABadStoreNamesTheSettingInOneLine(t *testing.T) {
	good := testkit.S3Options(t)
	const secret = "hidden-secret-key"
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by the kernel alone
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>Welcome\nto nginx</html>")
	}))
	defer page.Close()
	encrypted := httptest.NewTLSServer(nil)
	defer encrypted.Close()
	careless, through := newGateway(t)
	careless.change(func(response *http.Response) error {
		if response.StatusCode == http.StatusPreconditionFailed {
			response.StatusCode = http.StatusOK
			response.Header.Set("ETag", `"00000000000000000000000000000000"`)
		}
		return nil
	})
	for name, test := range map[string]struct {
		change func(*blob.S3Options)
		want   []string
	}{
		"refused":           {func(o *blob.S3Options) { o.Endpoint = "http://127.0.0.1:1" }, []string{"S3_ENDPOINT", "127.0.0.1:1", "refused"}},
		"silent":            {func(o *blob.S3Options) { o.Endpoint = "http://" + silent.Addr().String() }, []string{"S3_ENDPOINT", "silent"}},
		"unknown host":      {func(o *blob.S3Options) { o.Endpoint = "http://nowhere.invalid" }, []string{"S3_ENDPOINT", "nowhere.invalid"}},
		"a web page":        {func(o *blob.S3Options) { o.Endpoint = page.URL }, []string{"S3_ENDPOINT", "not an object store"}},
		"https for http":    {func(o *blob.S3Options) { o.Endpoint = strings.Replace(good.Endpoint, "http:", "https:", 1) }, []string{"S3_ENDPOINT", "HTTP"}},
		"unknown authority": {func(o *blob.S3Options) { o.Endpoint = encrypted.URL }, []string{"S3_ENDPOINT", "certificate"}},
		"no address":        {func(o *blob.S3Options) { o.Endpoint = "" }, []string{"S3_ENDPOINT"}},
		"another protocol":  {func(o *blob.S3Options) { o.Endpoint = "ftp://x" }, []string{"S3_ENDPOINT"}},
		"a password in it":  {func(o *blob.S3Options) { o.Endpoint = "http://me:" + secret + "@h" }, []string{"S3_ENDPOINT"}},
		"unreadable":        {func(o *blob.S3Options) { o.Endpoint = "http://me:" + secret + "%zz@h" }, []string{"S3_ENDPOINT"}},
		"a path":            {func(o *blob.S3Options) { o.Endpoint = good.Endpoint + "/bucket" }, []string{"S3_ENDPOINT"}},
		"bad public":        {func(o *blob.S3Options) { o.PublicURL = "http://h/path" }, []string{"S3_PUBLIC_URL"}},
		"unknown key":       {func(o *blob.S3Options) { o.AccessKey = "nobody" }, []string{"S3_ACCESS_KEY", "S3_SECRET_KEY"}},
		"wrong secret":      {func(o *blob.S3Options) { o.SecretKey = secret }, []string{"S3_SECRET_KEY"}},
		"no secret":         {func(o *blob.S3Options) { o.SecretKey = "" }, []string{"S3_SECRET_KEY"}},
		"bad bucket":        {func(o *blob.S3Options) { o.Bucket = "Not_A_Bucket" }, []string{"S3_BUCKET"}},
		"other region":      {func(o *blob.S3Options) { o.Region = "eu-west-1" }, []string{"S3_REGION"}},
		"no conditions":     {func(o *blob.S3Options) { *o = through }, []string{"S3_ENDPOINT", "If-None-Match"}},
		"endless links":     {func(o *blob.S3Options) { o.LinkLife = 30 * 24 * time.Hour }, []string{"7 days"}},
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			test.change(&options)
			started := time.Now()
			bucket, err := blob.OpenS3(t.Context(), options)
			if err == nil {
				bucket.Close()
				t.Fatal("opened")
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("after %s", took)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, secret) || strings.Contains(text, good.SecretKey.Reveal()) {
				t.Errorf("not fit to be shown: %q", text)
			}
		})
	}
}

func TestABucketIsCreatedOnceAndFoundAgain(t *testing.T) {
	options := testkit.S3Options(t)
	var wg sync.WaitGroup
	for range 4 { // processes that start together
		wg.Go(func() {
			bucket, err := blob.OpenS3(t.Context(), options)
			if err != nil {
				t.Error(err)
				return
			}
			defer bucket.Close()
			if bucket.Name() != options.Bucket {
				t.Errorf("called %s", bucket.Name())
			}
		})
	}
	wg.Wait()
	put(t, testkit.OpenS3(t, options), key, "x")
	again := testkit.OpenS3(t, options)
	if list, err := again.List(t.Context(), "", "", 10); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

func TestSignedLinksOfAnObjectStore(t *testing.T) {
	_, options := newGateway(t)
	public := strings.Replace(options.Endpoint, "127.0.0.1", "localhost", 1) // what a browser calls it
	options = testkit.S3Options(t)
	options.PublicURL, options.LinkLife = public, 2*time.Second
	bucket := testkit.OpenS3(t, options)
	put(t, bucket, key, "0123456789")
	link, err := bucket.SignedURL(t.Context(), key)
	if err != nil || link.ExpiresIn != 2*time.Second || !strings.HasPrefix(link.URL, public+"/") {
		t.Fatal(link, err)
	}
	if strings.Contains(link.URL, options.SecretKey.Reveal()) {
		t.Fatal("the link shows the secret key")
	}
	get := func(address, ranges string) (int, string, http.Header) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Close = true
		if ranges != "" {
			request.Header.Set("Range", ranges)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body), response.Header
	}
	if status, body, header := get(link.URL, ""); status != 200 || body != "0123456789" || header.Get("Content-Type") != "image/png" ||
		header.Get("Content-Disposition") != `inline; filename="original.png"` {
		t.Errorf("%d %q %v", status, body, header)
	}
	if status, body, _ := get(link.URL, "bytes=2-4"); status != 206 || body != "234" {
		t.Errorf("range: %d %q", status, body)
	}
	for name, address := range map[string]string{
		"another key":       strings.Replace(link.URL, "0199-a", "0199-b", 1),
		"another signature": link.URL[:len(link.URL)-1] + map[bool]string{true: "0", false: "1"}[strings.HasSuffix(link.URL, "1")],
		"a longer life":     strings.Replace(link.URL, "X-Amz-Expires=2", "X-Amz-Expires=9", 1),
		"another type":      strings.Replace(link.URL, "image%2Fpng", "text%2Fhtml", 1),
		"no signature":      link.URL[:strings.Index(link.URL, "?")],
		"another host":      strings.Replace(link.URL, "localhost", "127.0.0.1", 1),
	} {
		if address == link.URL {
			t.Fatalf("%s: nothing was changed in %s", name, address)
		}
		if status, body, _ := get(address, ""); status != 403 {
			t.Errorf("%s: %d %.200s", name, status, body)
		}
	}
	// The store has its own clock: wait until it finds the link expired.
	for deadline := time.Now().Add(10 * time.Second); ; {
		if status, _, _ := get(link.URL, ""); status == 403 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the link does not expire")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// noise is size bytes that do not repeat and are not in memory.
func noise(size int64) io.Reader { return io.LimitReader(&noiseReader{state: 88172645463325252}, size) }

type noiseReader struct{ state uint64 }

func (r *noiseReader) Read(p []byte) (int, error) {
	for i := range p {
		if i%8 == 0 {
			r.state ^= r.state << 13
			r.state ^= r.state >> 7
			r.state ^= r.state << 17
		}
		p[i] = byte(r.state >> (i % 8 * 8))
	}
	return len(p), nil
}

func TestALargeObjectStreamsInFlatMemory(t *testing.T) {
	const size = 200 << 20
	testkit.EachBucket(t, func(t *testing.T, bucket blob.Bucket) {
		sum := sha256.New()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		object, err := bucket.Put(t.Context(), "large.bin", io.TeeReader(noise(size), sum), blob.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		reader, err := bucket.Open(t.Context(), "large.bin")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		back := sha256.New()
		if n, err := io.CopyBuffer(struct{ io.Writer }{back}, struct{ io.Reader }{reader}, make([]byte, 64<<10)); err != nil || n != size {
			t.Fatal(n, err)
		}
		runtime.ReadMemStats(&after)
		// All that was ever allocated, not only what stayed.
		if total := after.TotalAlloc - before.TotalAlloc; total > 16<<20 {
			t.Errorf("%d MiB were allocated to move 200 MiB both ways", total>>20)
		} else {
			t.Logf("%.1f MiB allocated", float64(total)/(1<<20))
		}
		want := hex.EncodeToString(sum.Sum(nil))
		if object.SHA256 != want || hex.EncodeToString(back.Sum(nil)) != want || object.Size != size {
			t.Errorf("%+v is not what was sent", object)
		}
	})
}

func TestContentThatIsTooLargeForTheTemporaryDirectoryIsAFault(t *testing.T) {
	options := testkit.S3Options(t)
	options.TempDir += "/missing"
	bucket := testkit.OpenS3(t, options)
	put(t, bucket, key, "small content needs no file")
	if _, err := bucket.Put(t.Context(), key, noise(2<<20), blob.PutOptions{}); err == nil {
		t.Error("stored without a place for it")
	}
	if got := content(t, bucket, key); got != "small content needs no file" {
		t.Errorf("%q", got)
	}
}

func TestNothingStaysInTheTemporaryDirectory(t *testing.T) {
	options := testkit.S3Options(t)
	bucket := testkit.OpenS3(t, options)
	for _, limit := range []int64{0, 2 << 20} {
		_, err := bucket.Put(t.Context(), key, noise(3<<20), blob.PutOptions{MaxBytes: limit})
		if (limit > 0) != fault.Is(err, fault.TooLarge) {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(options.TempDir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestFiftyParallelAppendsTakeFewRoundTrips(t *testing.T) {
	gate, options := newGateway(t)
	bucket := testkit.OpenS3(t, options)
	for round, most := range []int64{30, 30} {
		gate.trips.Store(0)
		started := time.Now()
		appendLines(t, bucket, 50, 1, fmt.Sprintf("round-%d", round))
		trips, took := gate.trips.Load(), time.Since(started)
		t.Logf("50 lines: %d round trips, %s", trips, took.Round(time.Millisecond/10))
		if trips > most {
			t.Errorf("%d round trips for 50 lines", trips)
		}
	}
	if got := strings.Count(content(t, bucket, "day.jsonl"), "\n"); got != 100 {
		t.Errorf("%d lines", got)
	}
}

// appendLines lets writers append each their lines to one object.
func appendLines(t *testing.T, bucket blob.Bucket, writers, each int, mark string) {
	t.Helper()
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for i := range each {
				if err := bucket.AppendLine(t.Context(), "day.jsonl", fmt.Appendf(nil, "%s %d %d", mark, writer, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestChildAppendsLines(t *testing.T) {
	if !isChild() {
		t.Skip("runs in the processes of TestNoLineIsLostAmongProcesses")
	}
	options := testkit.S3Options(t)
	options.Bucket = os.Getenv(childMode)
	bucket, err := blob.OpenS3(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	appendLines(t, bucket, 25, 20, fmt.Sprint(os.Getpid()))
}

func TestNoLineIsLostAmongProcesses(t *testing.T) {
	options := testkit.S3Options(t)
	bucket := testkit.OpenS3(t, options)
	var wg sync.WaitGroup
	started := time.Now()
	for range 2 {
		wg.Go(func() {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildAppendsLines$", "-test.v")
			child.Env = append(os.Environ(), childMode+"="+options.Bucket)
			if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	t.Logf("1000 lines of 50 writers in 2 processes: %s", time.Since(started).Round(time.Millisecond))
	seen := map[string]int{}
	for line := range strings.Lines(content(t, bucket, "day.jsonl")) {
		seen[line]++
	}
	for line, times := range seen {
		if times != 1 {
			t.Errorf("%q is there %d times", line, times)
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 lines", len(seen))
	}
}

func TestAnotherToolsObjectsAreUsable(t *testing.T) {
	gate, options := newGateway(t)
	bucket := testkit.OpenS3(t, options)
	put(t, bucket, "day.jsonl", "one\n")
	gate.change(func(response *http.Response) error { response.Header.Del("X-Amz-Meta-Sha256"); return nil })
	if object, err := bucket.Stat(t.Context(), "day.jsonl"); err != nil || object.SHA256 != "" {
		t.Errorf("%+v %v", object, err)
	}
	if err := bucket.AppendLine(t.Context(), "day.jsonl", []byte("two")); err != nil {
		t.Error(err)
	}
	gate.change(func(response *http.Response) error {
		if response.Request.Method == http.MethodGet {
			response.Header.Set("X-Amz-Meta-Sha256", strings.Repeat("0", 64)) // edited by hand
		}
		return nil
	})
	if err := bucket.AppendLine(t.Context(), "day.jsonl", []byte("three")); err != nil {
		t.Error(err)
	}
	if got := content(t, bucket, "day.jsonl"); got != "one\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
}

func TestAPanicOfOneCallerIsItsOwn(t *testing.T) {
	bucket := testkit.S3(t)
	put(t, bucket, "day.jsonl", "one\n")
	if err := bucket.RemoveLines(t.Context(), "day.jsonl", func([]byte) bool { panic("mine") }); !fault.Is(err, fault.Internal) {
		t.Error(err)
	}
	if err := bucket.AppendLine(t.Context(), "day.jsonl", []byte("two")); err != nil {
		t.Error(err)
	}
	if got := content(t, bucket, "day.jsonl"); got != "one\ntwo\n" {
		t.Errorf("%q", got)
	}
}

func TestOptionsNeverShowTheSecret(t *testing.T) {
	options := blob.S3Options{SecretKey: logging.Secret("hidden")}
	if text := fmt.Sprintf("%v %+v %#v", options, options, options); strings.Contains(text, "hidden") {
		t.Error(text)
	}
}
