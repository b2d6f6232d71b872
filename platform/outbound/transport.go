package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"
)

// transport sends requests in HTTP/1.1 over connections of its own and reads the
// answers on the goroutine of the caller. http.Transport has two goroutines for
// each connection, of which every answer that waits for a model pays the stacks,
// and every request the hand-overs. Requests that go through a proxy are left
// to it.
type transport struct {
	dialer    net.Dialer
	firstByte time.Duration // request sent → response headers
	tls       *tls.Config
	idle      idleConnections
	proxy     func(*http.Request) (*url.URL, error) // that a request goes through; nil = none
	proxied   *http.Transport
}

func newTransport(limits Limits) *transport {
	dialer := net.Dialer{Timeout: limits.Connect, KeepAlive: 30 * time.Second}
	return &transport{
		dialer: dialer, firstByte: limits.FirstByte,
		tls:   &tls.Config{NextProtos: []string{"http/1.1"}},
		proxy: http.ProxyFromEnvironment,
		proxied: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			TLSHandshakeTimeout:   limits.Connect,
			ResponseHeaderTimeout: limits.FirstByte,
			MaxIdleConnsPerHost:   maxIdle,
			IdleConnTimeout:       idleTime,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // unpack does it
			ReadBufferSize:        connectionBuffer,
			WriteBufferSize:       connectionBuffer,
		},
	}
}

// CloseIdleConnections ends the connections that no answer is read from, and
// those that are once it was.
func (t *transport) CloseIdleConnections() {
	t.idle.close()
	t.proxied.CloseIdleConnections()
}

// RoundTrip sends the request and reads the headers of the answer. It is sent a
// second time when it can be and its connection, which had served before, turned
// out to be closed.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	send := t.direct
	if proxy, err := t.proxy(request); proxy != nil || err != nil {
		send = t.proxied.RoundTrip
	}
	response, err := send(request)
	if err == nil {
		unpack(request, response)
	}
	return response, err
}

var errHeader = errors.New("a header has a name or a value that HTTP does not allow")

func (t *transport) direct(request *http.Request) (*http.Response, error) {
	for name, values := range request.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			closeBody(request)
			return nil, errHeader
		}
	}
	used := t.idle.take(request.URL)
	for used != nil && !used.quiet() {
		used.end()
		used = t.idle.take(request.URL)
	}
	if used == nil {
		return t.onNewConnection(request)
	}
	response, err := t.exchange(used, request)
	if err == nil || !used.wasClosed(err) || request.Context().Err() != nil || !replayable(request) {
		return response, err
	}
	request = request.WithContext(request.Context()) // a copy
	if err := rewind(request); err != nil {
		return nil, err
	}
	return t.onNewConnection(request)
}

func (t *transport) onNewConnection(request *http.Request) (*http.Response, error) {
	c, err := t.connect(request.Context(), request.URL)
	if err != nil {
		closeBody(request)
		return nil, err
	}
	return t.exchange(c, request)
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

var errScheme = errors.New("the address is neither http nor https")

// connect opens a connection to the host of an address.
func (t *transport) connect(ctx context.Context, to *url.URL) (*connection, error) {
	port := map[string]string{"http": "80", "https": "443"}[to.Scheme]
	if port == "" {
		return nil, errScheme
	}
	if to.Port() != "" {
		port = to.Port()
	}
	host, err := httpguts.PunycodeHostPort(to.Hostname())
	if err != nil {
		return nil, err
	}
	raw, err := t.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	if to.Scheme == "http" {
		return newConnection(raw, raw, to), nil
	}
	config := t.tls.Clone()
	config.ServerName = host
	secured := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, t.dialer.Timeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return newConnection(raw, secured, to), nil
}

// exchange sends a request on a connection and reads the headers of the answer,
// with whose body the connection is free again.
func (t *transport) exchange(c *connection, request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	keep := context.AfterFunc(ctx, c.end)
	response, err := c.ask(request, t.firstByte)
	if err != nil {
		keep()
		c.end()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	body := &answerBody{Reader: response.Body, connection: c, keep: keep, ctx: ctx}
	if !request.Close && !response.Close {
		body.idle = &t.idle
	}
	response.Body = body
	return response, nil
}

// crossing is how long after it was sent a request can have met the end of its
// connection on the way. What ends later may have been worked on.
const crossing = 100 * time.Millisecond

// wasClosed reports whether err says that the other end had given the connection
// up before the request came.
func (c *connection) wasClosed(err error) bool {
	gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return gone && !c.answered && time.Since(c.askedAt) < crossing
}
