package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"llmhist/platform/fault"
)

// guard bounds a response body in size and in silence. ctx is that of the call.
func (c *Client) guard(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	g := &guardedBody{ctx: ctx, client: c, body: body, left: c.limits.MaxBytes}
	g.idle = time.AfterFunc(c.limits.Idle, g.silence)
	g.idle.Stop()
	return g
}

type guardedBody struct {
	ctx    context.Context
	client *Client
	body   io.ReadCloser
	left   int64
	idle   *time.Timer

	mu     sync.Mutex
	silent bool
}

func (g *guardedBody) silence() {
	g.mu.Lock()
	g.silent = true
	g.mu.Unlock()
	_ = g.body.Close() // under a read that waits
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
		return g.client.ended(g.ctx)
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
	return g.body.Close()
}

// placedBody is the body of a call that holds a place until it is closed.
type placedBody struct {
	io.ReadCloser
	release func() // may be called again
}

func (b *placedBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
