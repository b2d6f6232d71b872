package blob_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"llmhist/platform/blob"
	"llmhist/platform/testkit"
)

// throughProxy starts a proxy before the S3 server and returns options that
// lead through it.
func throughProxy(t *testing.T) (*testkit.Proxy, blob.S3Options) {
	t.Helper()
	options := testkit.S3Options(t)
	proxy, endpoint := testkit.ProxyBefore(t, options.Endpoint)
	options.Endpoint = endpoint
	return proxy, options
}

// gateway is an HTTP proxy before the S3 server that counts and can change the
// answers, or break off before a request reaches the server.
type gateway struct {
	trips  atomic.Int64
	alter  atomic.Pointer[func(*http.Response) error]
	broken atomic.Pointer[func(*http.Request) bool]
}

var errDropAnswer = errors.New("the answer is dropped")

func newGateway(t *testing.T) (*gateway, blob.S3Options) {
	t.Helper()
	options := testkit.S3Options(t)
	target, err := url.Parse(options.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as it was signed
		},
		ModifyResponse: func(response *http.Response) error {
			g.trips.Add(1)
			if alter := g.alter.Load(); alter != nil {
				return (*alter)(response)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken := g.broken.Load(); broken != nil && (*broken)(r) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(server.Close)
	options.Endpoint = server.URL
	return g, options
}

func (g *gateway) change(alter func(*http.Response) error) { g.alter.Store(&alter) }

// refuse breaks the connection of a request that the server then never sees.
func (g *gateway) refuse(broken func(*http.Request) bool) { g.broken.Store(&broken) }

// answers makes the gateway answer with an S3 error.
func (g *gateway) answers(status int, code string) {
	g.answersPage(status, "<?xml version=\"1.0\"?><Error><Code>"+code+"</Code><Message>hidden words</Message></Error>")
}

// answersPage makes the gateway answer with a page of its own.
func (g *gateway) answersPage(status int, body string) {
	g.change(func(response *http.Response) error {
		_ = response.Body.Close()
		response.StatusCode = status
		response.Header = http.Header{"Content-Type": {"application/xml"}}
		response.ContentLength = int64(len(body))
		response.Body = io.NopCloser(&onceReader{text: body})
		return nil
	})
}

type onceReader struct{ text string }

func (r *onceReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// childMode is set in the environment of processes that a test starts from its
// own binary.
const childMode = "LLMHIST_BLOB_TEST_CHILD"

func isChild() bool { return os.Getenv(childMode) != "" }
