// Package outbound calls providers. Every call has a deadline to connect, to
// the first byte, between two reads and in total; a size limit; no redirect to
// another host; and errors that name the provider but carry neither its words
// nor a key.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"llmhist/platform/fault"
)

// Limits bound one provider's calls. A zero field means its default.
type Limits struct {
	Connect   time.Duration `mapstructure:"connect"`    // TCP and TLS; default 5 s
	FirstByte time.Duration `mapstructure:"first_byte"` // request sent → response headers; default 60 s
	Idle      time.Duration `mapstructure:"idle"`       // between two reads of the body; default 60 s
	Total     time.Duration `mapstructure:"total"`      // the whole exchange; default 5 min
	MaxBytes  int64         `mapstructure:"max_bytes"`  // of the response body; default 32 MiB
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&l.Connect, 5*time.Second)
	set(&l.FirstByte, time.Minute)
	set(&l.Idle, time.Minute)
	set(&l.Total, 5*time.Minute)
	if l.MaxBytes <= 0 {
		l.MaxBytes = 32 << 20
	}
	return l
}

// Client calls one provider.
type Client struct {
	provider string
	limits   Limits
	http     *http.Client
}

// New returns a client for the provider called name, as operators and users
// know it.
func New(name string, limits Limits) *Client {
	limits = limits.withDefaults()
	dialer := &net.Dialer{Timeout: limits.Connect, KeepAlive: 30 * time.Second}
	return &Client{
		provider: name,
		limits:   limits,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           dialer.DialContext,
				TLSHandshakeTimeout:   limits.Connect,
				ResponseHeaderTimeout: limits.FirstByte,
				MaxIdleConnsPerHost:   64,
				IdleConnTimeout:       90 * time.Second,
				ForceAttemptHTTP2:     true,
			},
			CheckRedirect: sameHostOnly,
		},
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

var errOtherHost = errors.New("redirect to another host")

func sameHostOnly(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme || len(via) > 3 {
		return errOtherHost
	}
	return nil
}

// Do sends the request and returns the response of a 2xx status, whose body
// must be closed. Every other outcome is a fault that names the provider:
// Unavailable when it cannot be reached, Timeout when it takes too long,
// BadUpstream when it answers badly (see StatusFault), and the context's own
// error when the caller is gone.
func (c *Client) Do(ctx context.Context, request *http.Request) (*http.Response, error) {
	bounded, cancel := context.WithTimeout(ctx, c.limits.Total)
	response, err := c.http.Do(request.WithContext(bounded))
	if err != nil {
		defer cancel()
		return nil, c.callFault(ctx, err)
	}
	response.Body = c.guard(ctx, response.Body, cancel)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer func() { _ = response.Body.Close() }()
		return nil, StatusFault(c.provider, response)
	}
	return response, nil
}

// ReadAll reads and closes the body of a response from Do.
func (c *Client) ReadAll(response *http.Response) ([]byte, error) {
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// callFault names why no response came.
func (c *Client) callFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errOtherHost) {
		return fault.New(fault.BadUpstream, "provider_redirected",
			fmt.Sprintf("The provider %q redirected to another host, which is not followed. Check its base URL.", c.provider))
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout() {
		return c.timeout(err)
	}
	return fault.Wrap(Discreet(err), fault.Unavailable, "provider_unavailable",
		fmt.Sprintf("The provider %q cannot be reached. Check its base URL and that it is running.", c.provider)).
		With("provider", c.provider)
}

func (c *Client) timeout(err error) error {
	return fault.Wrap(Discreet(err), fault.Timeout, "provider_timeout",
		fmt.Sprintf("The provider %q took too long to answer. Try again later.", c.provider)).With("provider", c.provider)
}

// Discreet returns an error of net/http without what it quotes: the URL, which
// can hold a prompt, and what came instead of an answer, which can be an echo
// of prompt and key.
func Discreet(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	if before, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(strings.TrimRight(before, ": "))
	}
	return err
}

// guard bounds a response body in size and in silence.
func (c *Client) guard(ctx context.Context, body io.ReadCloser, cancel context.CancelFunc) io.ReadCloser {
	g := &guardedBody{ctx: ctx, client: c, body: body, cancel: cancel, left: c.limits.MaxBytes}
	g.idle = time.AfterFunc(c.limits.Idle, g.silence)
	g.idle.Stop()
	return g
}

type guardedBody struct {
	ctx    context.Context
	client *Client
	body   io.ReadCloser
	cancel context.CancelFunc
	left   int64
	idle   *time.Timer

	mu     sync.Mutex
	silent bool
}

func (g *guardedBody) silence() {
	g.mu.Lock()
	g.silent = true
	g.mu.Unlock()
	g.cancel()
}

func (g *guardedBody) Read(p []byte) (int, error) {
	if g.left < 0 {
		return 0, g.tooLarge()
	}
	if int64(len(p)) > g.left+1 {
		p = p[:g.left+1]
	}
	g.idle.Reset(g.client.limits.Idle) // counts while waiting for the provider, not while our reader is busy
	n, err := g.body.Read(p)
	g.idle.Stop()
	g.left -= int64(n)
	if g.left < 0 {
		return n - 1, g.tooLarge()
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, g.readFault(err)
}

func (g *guardedBody) readFault(err error) error {
	g.mu.Lock()
	silent := g.silent
	g.mu.Unlock()
	if silent {
		return g.client.timeout(errors.New("no data for the idle limit"))
	}
	if g.ctx.Err() != nil {
		return g.ctx.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return g.client.timeout(err)
	}
	return fault.Wrap(Discreet(err), fault.BadUpstream, "provider_cut_off",
		fmt.Sprintf("The provider %q broke off in the middle of its answer. Try again.", g.client.provider)).
		With("provider", g.client.provider)
}

func (g *guardedBody) tooLarge() error {
	return fault.New(fault.BadUpstream, "provider_answer_too_large",
		fmt.Sprintf("The provider %q sent more than the %d bytes accepted from it.", g.client.provider, g.client.limits.MaxBytes)).
		With("provider", g.client.provider)
}

func (g *guardedBody) Close() error {
	g.idle.Stop()
	err := g.body.Close()
	g.cancel()
	return err
}

// MediaType returns the media type of a response without parameters, lower
// case, or "".
func MediaType(response *http.Response) string {
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
