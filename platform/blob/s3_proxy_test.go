package blob_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/testkit"
)

// toxic is a TCP proxy before the S3 server that can be made to fail.
type toxic struct {
	t        *testing.T
	server   string
	address  string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	mode  mode
	conns map[net.Conn]bool
}

// mode is what a toxic does to answers.
type mode struct {
	hang    bool          // nothing moves any more
	reset   bool          // connections are reset at once
	garbage bool          // answers are noise
	delay   time.Duration // before each piece of an answer
	cut     int           // bytes after which an answer's connection is reset; 0 = never
}

// newToxic starts a proxy and returns options that lead through it.
func newToxic(t *testing.T) (*toxic, blob.S3Options) {
	t.Helper()
	options := testkit.S3Options(t)
	server, err := url.Parse(options.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &toxic{t: t, server: server.Host, conns: map[net.Conn]bool{}}
	p.up()
	t.Cleanup(p.down)
	options.Endpoint = "http://" + p.address
	return p, options
}

// up listens, on the same port as before.
func (p *toxic) up() {
	if p.address == "" {
		p.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.listener, p.address = listener, listener.Addr().String()
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
}

// down refuses connections and closes those there are.
func (p *toxic) down() {
	_ = p.listener.Close()
	p.closeAll()
	p.wg.Wait()
}

func (p *toxic) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *toxic) set(m mode) {
	p.mu.Lock()
	p.mode = m
	p.mu.Unlock()
	if m == (mode{}) {
		p.closeAll() // what hung stays broken, as after a real outage
	}
}

func (p *toxic) now() mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

func (p *toxic) keep(conn net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	return func() {
		_ = conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, conn)
	}
}

func (p *toxic) serve(client net.Conn) {
	defer p.keep(client)()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer p.keep(server)()
	p.wg.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	buffer := make([]byte, 16<<10)
	for sent := 0; ; {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		piece := buffer[:n]
		m := p.now()
		switch {
		case m.hang:
			_, _ = io.Copy(io.Discard, server) // until it is closed
			return
		case m.cut > 0 && sent+n > m.cut:
			_, _ = client.Write(piece[:max(0, m.cut-sent)])
			reset(client)
			return
		case m.reset:
			reset(client)
			return
		case m.garbage:
			piece = []byte("\x00\xff no protocol at all \r\n\r\n")
		case m.delay > 0:
			time.Sleep(m.delay) // the slowness under test
		}
		if _, err := client.Write(piece); err != nil {
			return
		}
		sent += n
	}
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// gateway is an HTTP proxy before the S3 server that counts and can change the
// answers.
type gateway struct {
	trips atomic.Int64
	alter atomic.Pointer[func(*http.Response) error]
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
		Transport: transport,
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
		BufferPool:   nil,
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(server.Close)
	options.Endpoint = server.URL
	return g, options
}

func (g *gateway) change(alter func(*http.Response) error) { g.alter.Store(&alter) }

// answers makes the gateway answer writes with an S3 error.
func (g *gateway) answers(status int, code string) {
	g.change(func(response *http.Response) error {
		body := "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>no</Message></Error>"
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
