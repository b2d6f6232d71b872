package blob

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// requestID is the header that object stores put into their answers.
const requestID = "x-amz-request-id"

// errForeign is no answer of the store, so that it is unknown what there is.
var errForeign = errors.New("the answer 404 is not an object store's: a proxy before it may be unable to reach it")

// storeAnswers makes an error of a 404 that is not the store's. The client would
// take it for an object that is absent, and proxies whose store is away answer
// so. Answers to HEAD have no body to tell by; see S3.Stat.
type storeAnswers struct{ next http.RoundTripper }

// RoundTrip makes a request; see http.RoundTripper.
func (t storeAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusNotFound || request.Method == http.MethodHead || response.Header.Get(requestID) != "" {
		return response, err
	}
	start, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err == nil && !bytes.Contains(start, []byte("<Error>")) && !bytes.Contains(start, []byte("<Error ")) {
		err = errForeign
	}
	if err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = answerBody{io.MultiReader(bytes.NewReader(start), response.Body), response.Body}
	return response, nil
}

// answerBody is a body whose start was read ahead.
type answerBody struct {
	io.Reader
	io.Closer
}

// statByReading describes an object whose head is said to be absent by an
// answer that cannot be told from a proxy's.
func (s *S3) statByReading(w *watch, key string) (minio.ObjectInfo, error) {
	source, info, _, err := s.client.GetObject(w.ctx, s.bucket, key, minio.GetObjectOptions{})
	if err == nil {
		_ = source.Close()
	}
	return info, err
}
