package blob

import (
	"net/http"
	"path"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// Mount serves the signed links of directory buckets below FilesPath. The
// signature is the credential; ranges and conditional requests work.
func Mount(router *web.Router, signer *Signer, buckets ...Bucket) {
	h := fileHandler{signer: signer, buckets: map[string]Bucket{}}
	for _, bucket := range buckets {
		h.buckets[bucket.Name()] = bucket
	}
	router.Add(web.Route{
		Method: http.MethodGet, Path: FilesPath + ":bucket/*", Handler: web.Raw(h.serve), Hidden: true,
		Summary: "Serve an object by its signed link",
	})
}

type fileHandler struct {
	signer  *Signer
	buckets map[string]Bucket
}

type fileRequest struct {
	Bucket    string `path:"bucket" json:"-"`
	Key       string `path:"*" json:"-"`
	Expires   string `query:"expires" json:"-"`
	Signature string `query:"signature" json:"-"`
}

func (h fileHandler) serve(c echo.Context, in fileRequest) error {
	bucket, known := h.buckets[in.Bucket]
	if !known || !ValidKey(in.Key) || !h.signer.Valid(in.Bucket, in.Key, in.Expires, in.Signature) {
		return fault.New(fault.Forbidden, "link_expired", "This link is not valid or has expired. Ask for a new one where you found it.")
	}
	reader, err := bucket.Open(c.Request().Context(), in.Key)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	object := reader.Object()
	header := c.Response().Header()
	header.Set("Content-Type", object.ContentType)
	header.Set("Content-Disposition", `inline; filename="`+path.Base(in.Key)+`"`)
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("Cache-Control", "private, max-age=300")
	return web.ServePlain(c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", object.ModifiedAt, reader)
	}))
}
