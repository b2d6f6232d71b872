package image

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/goleak"

	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// TestMain finds goroutines without an end. GORM's own statement cache has one
// for each database.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// fixture is the module behind HTTP, with all it stands on.
type fixture struct {
	t        *testing.T
	db       *database.DB
	bucket   *brittle
	module   *Module
	server   *testkit.Server
	document *huma.OpenAPI
	clock    *testkit.Clock
}

func start(t *testing.T, config Config) *fixture {
	t.Helper()
	return startOn(t, config, testkit.SQLite(t), &brittle{Bucket: testkit.Bucket(t, "images")})
}

func startOn(t *testing.T, config Config, db *database.DB, bucket *brittle) *fixture {
	t.Helper()
	f := &fixture{t: t, db: db, bucket: bucket, clock: testkit.NewClock()}
	var err error
	f.module, err = New(config, Deps{DB: db, Bucket: bucket, Logger: testkit.Logger(), Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.module.Close)
	f.server = testkit.Serve(t, func(router *web.Router) {
		f.module.Mount(router)
		f.document = router.OpenAPI(web.About{Title: "test"})
	})
	return f
}

// do sends a request and holds the answer against the OpenAPI document.
func (f *fixture) do(method, path string, as testkit.Caller, body any) testkit.Answer {
	f.t.Helper()
	answer := f.server.Do(method, path, as, body)
	address, _, _ := strings.Cut(path, "?")
	if rest, ok := strings.CutPrefix(address, "/image/"); ok && rest != "generate" && rest != "models" {
		address = "/image/{id}"
		if strings.HasSuffix(rest, "/download") {
			address += "/download"
		}
	}
	item := f.document.Paths[address]
	op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "DELETE": item.Delete}[method]
	if err := web.Conforms(f.document, op, answer.Status, answer.Header.Get("Content-Type"), answer.Body); err != nil {
		f.t.Error(err)
	}
	return answer
}

// generate makes a small picture and returns its id.
func (f *fixture) generate(as testkit.Caller, body map[string]any) string {
	f.t.Helper()
	request := map[string]any{"prompt": "a red fox", "size": "64x64"}
	for key, value := range body {
		request[key] = value
	}
	answer := f.do("POST", "/image/generate", as, request)
	if answer.Status != http.StatusCreated {
		f.t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	id, _ := answer.JSON(f.t)["id"].(string)
	return id
}

// objects lists the keys in the bucket.
func (f *fixture) objects(prefix string) []string {
	f.t.Helper()
	list, err := f.bucket.Bucket.List(f.t.Context(), prefix, "", 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	keys := []string{}
	for _, object := range list {
		keys = append(keys, object.Key)
	}
	return keys
}

func (f *fixture) read(key string) []byte {
	f.t.Helper()
	data, err := blob.ReadAll(f.t.Context(), f.bucket.Bucket, key, 64<<20)
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

func (f *fixture) record(id string) Record {
	f.t.Helper()
	var record Record
	if err := json.Unmarshal(f.read(history.RecordKey(id)), &record); err != nil {
		f.t.Fatal(err)
	}
	return record
}

// lines returns the ids in all of the user's daily indexes.
func (f *fixture) lines(prefix string) []string {
	f.t.Helper()
	var ids []string
	for _, key := range f.objects(prefix) {
		for line := range bytes.Lines(f.read(key)) {
			var entry history.Line
			if json.Unmarshal(line, &entry) == nil {
				ids = append(ids, entry.ID)
			}
		}
	}
	return ids
}

func (f *fixture) rows() int64 {
	f.t.Helper()
	_, total, err := f.module.service.repository.List(f.t.Context(), Everyone(), "", web.Page{Number: 1, Size: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	return total
}

// brittle is a bucket that fails where it is told to.
type brittle struct {
	blob.Bucket
	mu   sync.Mutex
	fail string // part of "operation key"; "" = never
	once bool   // only the next time

	onAppend func() // runs instead of an append, which fails
}

var errBroken = fault.New(fault.Unavailable, "storage_unavailable", "The data directory cannot be used right now.")

func (b *brittle) breakAt(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail, b.once = what, false
}

func (b *brittle) breakOnceAt(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail, b.once = what, true
}

func (b *brittle) check(operation, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != "" && strings.Contains(operation+" "+key, b.fail) {
		if b.once {
			b.fail = ""
		}
		return errBroken
	}
	return nil
}

func (b *brittle) Put(ctx context.Context, key string, body io.Reader, options blob.PutOptions) (blob.Object, error) {
	if err := b.check("put", key); err != nil {
		return blob.Object{}, err
	}
	return b.Bucket.Put(ctx, key, body, options)
}

func (b *brittle) Delete(ctx context.Context, key string) error {
	if err := b.check("delete", key); err != nil {
		return err
	}
	return b.Bucket.Delete(ctx, key)
}

func (b *brittle) AppendLine(ctx context.Context, key string, line []byte) error {
	if b.onAppend != nil {
		b.onAppend()
		return errBroken
	}
	if err := b.check("append", key); err != nil {
		return err
	}
	return b.Bucket.AppendLine(ctx, key, line)
}

func (b *brittle) RemoveLines(ctx context.Context, key string, drop func([]byte) bool) error {
	if err := b.check("unlist", key); err != nil {
		return err
	}
	return b.Bucket.RemoveLines(ctx, key, drop)
}

// upstream is a provider that answers as told and remembers what it was sent.
type upstream struct {
	*httptest.Server
	calls atomic.Int32
	mu    sync.Mutex
	last  *http.Request
	body  string
}

const testKey = "sk-very-secret"

func serveUpstream(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.calls.Add(1)
		data, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.last, u.body = r, string(data)
		u.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(data))
		answer(w, r)
	}))
	t.Cleanup(u.Server.Close)
	return u
}

func (u *upstream) sent() (*http.Request, string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last, u.body
}

// as configures the upstream as the only provider.
func (u *upstream) as(kind string) Config {
	base := u.URL
	if kind == typeOpenAI {
		base += "/v1"
	}
	key := logging.Secret(testKey)
	if kind == typeA1111 {
		key = "user:" + testKey
	}
	return Config{Upstreams: []Upstream{{Name: "fake", Type: kind, BaseURL: base, APIKey: key, DefaultModel: "m-1", Models: []string{"m-2", "m-1"}}}}
}

func plain() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 96, 48))
	for i := range 96 * 48 {
		m.Set(i%96, i/96, color.NRGBA{R: uint8(i), G: uint8(i / 96 * 5), B: 90, A: 255})
	}
	return m
}

func pngBytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, plain()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegBytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, plain(), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
