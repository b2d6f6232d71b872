package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

const (
	// The page names its assets by content hash, so an asset's address never
	// changes meaning, while the page must be asked for again each time.
	cacheIndex  = "no-cache"
	cacheAssets = "public, max-age=31536000, immutable"

	assetsPrefix = "assets/"
)

// contentTypes fixes the type of everything the build may write. The mime package
// is not asked because its answers depend on files of the machine it runs on.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".ico":   "image/x-icon",
	".jpg":   "image/jpeg",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".map":   "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".webp":  "image/webp",
	".woff2": "font/woff2",
}

// Handler serves the embedded front page: index.html at / (revalidated by ETag)
// and the hashed files under /assets/ (cacheable for a year). GET and HEAD only,
// anything else is 405; any other path is 404. When the page was not built into
// this binary, / answers 200 with a short page that says so. It is safe for
// concurrent use and sets no security headers: those belong to the front door.
func Handler() http.Handler {
	return newHandler(Files())
}

// newHandler is Handler over any built output, so that a test can bring its own.
func newHandler(files fs.FS) http.Handler {
	index := unbuilt
	if page, err := fs.ReadFile(files, indexName); err == nil {
		index = page
	}
	return &handler{files: files, index: index, etag: etagOf(index)}
}

type handler struct {
	files fs.FS
	index []byte
	etag  string
}

// etagOf returns a strong entity tag (RFC 9110, 8.8.3) from the content itself.
func etagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		onlyRead(w, r, h.serveIndex)
		return
	}
	content, ok := h.asset(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	onlyRead(w, r, func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, served{name: r.URL.Path, cache: cacheAssets, content: content})
	})
}

func (h *handler) serveIndex(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", h.etag)
	serve(w, r, served{name: indexName, cache: cacheIndex, content: h.index})
}

// asset reads the file behind a URL path. Only regular files under assets/ are
// served: a directory, the placeholder and a path with dot segments are not.
func (h *handler) asset(urlPath string) ([]byte, bool) {
	name := strings.TrimPrefix(urlPath, "/")
	if !strings.HasPrefix(name, assetsPrefix) || !fs.ValidPath(name) {
		return nil, false
	}
	// Reading a directory is an error, so nothing is ever listed.
	content, err := fs.ReadFile(h.files, name)
	return content, err == nil
}

// served is one answer's content and how long it may be kept.
type served struct {
	name    string
	cache   string
	content []byte
}

// serve writes content with HEAD, Range and If-None-Match handled by the standard library.
func serve(w http.ResponseWriter, r *http.Request, s served) {
	contentType, ok := contentTypes[path.Ext(s.name)]
	if !ok {
		contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", s.cache)
	// The zero time leaves Last-Modified out: embedded files carry no time.
	http.ServeContent(w, r, s.name, time.Time{}, bytes.NewReader(s.content))
}

// onlyRead calls next for GET and HEAD and answers 405 otherwise.
func onlyRead(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	next(w, r)
}
