package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const (
	testPage   = "<!doctype html><title>built</title>"
	testScript = "export {}"
)

func builtFiles() fstest.MapFS {
	return fstest.MapFS{
		".gitkeep":               {},
		"index.html":             {Data: []byte(testPage)},
		"secret.txt":             {Data: []byte("outside assets")},
		"assets/index-abc.js":    {Data: []byte(testScript)},
		"assets/index-abc.css":   {Data: []byte("a{}")},
		"assets/logo-abc.svg":    {Data: []byte("<svg/>")},
		"assets/deep/font.woff2": {Data: []byte("font")},
		"assets/thing.unknown":   {Data: []byte("<script>")},
	}
}

// request sends one request to a handler over files; header is name, value pairs.
func request(t *testing.T, files fs.FS, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, ok := strings.Cut(target, " ")
	if !ok {
		t.Fatalf("target %q is not METHOD PATH", target)
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	newHandler(files).ServeHTTP(w, r)
	return w
}

func TestHandlerServes(t *testing.T) {
	tests := map[string]struct {
		target, body, contentType, cache string
	}{
		"the page, to be revalidated":  {"GET /", testPage, "text/html; charset=utf-8", cacheIndex},
		"a script, immutable":          {"GET /assets/index-abc.js", testScript, "text/javascript; charset=utf-8", cacheAssets},
		"a style sheet, immutable":     {"GET /assets/index-abc.css", "a{}", "text/css; charset=utf-8", cacheAssets},
		"a drawing, immutable":         {"GET /assets/logo-abc.svg", "<svg/>", "image/svg+xml", cacheAssets},
		"a font in a deeper directory": {"GET /assets/deep/font.woff2", "font", "font/woff2", cacheAssets},
		"an unknown type as bytes":     {"GET /assets/thing.unknown", "<script>", "application/octet-stream", cacheAssets},
		"the head of the page":         {"HEAD /", "", "text/html; charset=utf-8", cacheIndex},
		"the head of a script":         {"HEAD /assets/index-abc.js", "", "text/javascript; charset=utf-8", cacheAssets},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := request(t, builtFiles(), tc.target)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d, want 200", w.Code)
			}
			got := []string{w.Body.String(), w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), w.Header().Get("X-Content-Type-Options")}
			if diff := cmp.Diff([]string{tc.body, tc.contentType, tc.cache, "nosniff"}, got); diff != "" {
				t.Errorf("answer differs (-want +got):\n%s", diff)
			}
			if w.Header().Get("Content-Length") == "" {
				t.Error("no Content-Length")
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	tests := map[string]struct {
		target string
		status int
	}{
		"another path":                 {"GET /nothing", 404},
		"the page under its file name": {"GET /index.html", 404},
		"a file beside assets":         {"GET /secret.txt", 404},
		"the placeholder":              {"GET /.gitkeep", 404},
		"a missing asset":              {"GET /assets/index-old.js", 404},
		"the listing of assets":        {"GET /assets/", 404},
		"assets without a slash":       {"GET /assets", 404},
		"the listing of a deeper one":  {"GET /assets/deep", 404},
		"a way out of assets":          {"GET /assets/../secret.txt", 404},
		"a doubled slash":              {"GET //assets/index-abc.js", 404},
		"an empty path":                {"GET ", 404},
		"a post to the page":           {"POST /", 405},
		"a delete of an asset":         {"DELETE /assets/index-abc.js", 405},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := request(t, builtFiles(), tc.target)
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			if got, want := w.Header().Get("Allow") != "", tc.status == 405; got != want {
				t.Errorf("Allow present: %v, want %v", got, want)
			}
			if strings.Contains(w.Body.String(), "outside assets") {
				t.Error("the file beside assets was served")
			}
		})
	}
}

func TestHandlerRevalidatesThePage(t *testing.T) {
	first := request(t, builtFiles(), "GET /")
	etag := first.Header().Get("ETag")
	if etag == "" {
		t.Fatal("the page has no ETag")
	}

	t.Run("unchanged is 304 without a body", func(t *testing.T) {
		w := request(t, builtFiles(), "GET /", "If-None-Match", etag)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("status %d with %d bytes, want 304 with none", w.Code, w.Body.Len())
		}
	})
	t.Run("changed is sent again", func(t *testing.T) {
		files := builtFiles()
		files["index.html"] = &fstest.MapFile{Data: []byte("another build")}
		w := request(t, files, "GET /", "If-None-Match", etag)
		if w.Code != http.StatusOK || w.Body.String() != "another build" || w.Header().Get("ETag") == etag {
			t.Errorf("status %d, ETag %s, body %q", w.Code, w.Header().Get("ETag"), w.Body)
		}
	})
}

func TestHandlerWithoutBuild(t *testing.T) {
	files := fstest.MapFS{".gitkeep": {}}
	if isBuilt(files) {
		t.Error("only a placeholder counts as built")
	}
	w := request(t, files, "GET /")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentTypes[".html"] || w.Header().Get("Cache-Control") != cacheIndex {
		t.Fatalf("status %d, header %v", w.Code, w.Header())
	}
	for _, want := range []string{"was not built into this binary", "make build"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, banned := range []string{"<script", "<style", "style="} {
		if strings.Contains(w.Body.String(), banned) {
			t.Errorf("the page has %q, which the content security policy forbids", banned)
		}
	}
	if w := request(t, files, "GET /assets/index-abc.js"); w.Code != http.StatusNotFound {
		t.Errorf("an asset is %d, want 404", w.Code)
	}
}

func TestBuiltNeedsAFile(t *testing.T) {
	if isBuilt(fstest.MapFS{"index.html/x": {}}) {
		t.Error("a directory called index.html counts as built")
	}
	if !isBuilt(builtFiles()) {
		t.Error("a built output does not count as built")
	}
}

// TestEmbedded holds for a binary with and without the page: what is embedded is
// coherent, and every asset the page names is there.
func TestEmbedded(t *testing.T) {
	if _, err := fs.Stat(Files(), ".gitkeep"); err != nil {
		t.Errorf("the placeholder is not embedded, so a build emptied dist: %v", err)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	page := w.Body.String()
	if got := strings.Contains(page, "was not built into this binary"); got == Built() {
		t.Fatalf("Built() is %v but the unbuilt page shows: %v", Built(), got)
	}
	named := 0
	for _, part := range strings.Split(page, `"`) {
		if !strings.HasPrefix(part, "/assets/") {
			continue
		}
		named++
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, part, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s is named by the page but answers %d", part, w.Code)
		}
	}
	if Built() && named < 3 {
		t.Errorf("the page names %d assets, want a script, a style sheet and the logo", named)
	}
}
