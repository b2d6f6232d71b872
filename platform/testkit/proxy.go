package testkit

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fault is what a Proxy does to the traffic.
type Fault int

// The faults.
const (
	Pass     Fault = iota // nothing
	Refuse                // connections are closed, new ones refused
	Hang                  // connections stand and nothing moves; what waits goes on when the fault ends
	HalfOpen              // requests arrive and answers vanish; such connections stay dead when the fault ends
	Reset                 // connections are reset in the middle of the next answer
	Garbage               // answers are noise
	Drip                  // answers come byte by byte, twenty a second
)

// String returns the fault's name.
func (f Fault) String() string {
	return [...]string{"pass", "refuse", "hang", "half-open", "reset", "garbage", "drip"}[f]
}

// Proxy is a TCP proxy before a server, of any protocol, that can be made to
// fail while it runs. It ends with the test that made it.
type Proxy struct {
	t       testing.TB
	target  string
	address string
	group   sync.WaitGroup

	// take reads the next piece of a connection, and inspect, when not nil,
	// sees each piece of a request before it goes on.
	take    func(from io.Reader, buffer []byte) ([]byte, error)
	inspect func(c *proxied, request []byte)

	mu       sync.Mutex
	listener net.Listener // nil = connections are refused
	state    proxyState
	changed  chan struct{} // closed when state changes
	conns    map[*proxied]bool
}

type proxyState struct {
	fault Fault
	cut   int           // bytes after which an answer's connection is reset; 0 = never
	delay time.Duration // before each piece of an answer
}

// proxied is one connection through the proxy.
type proxied struct {
	client, server net.Conn
	gone           chan struct{}
	end            func()
	sent           int         // bytes of answers; only its own goroutine uses it
	dead           bool        // its answers vanish; as sent
	lose           atomic.Bool // the next answer ends everything
}

// NewProxy starts a proxy before the server at target, a host and port.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := newProxy(t, target)
	p.open()
	return p
}

// ProxyBefore starts a proxy before the server of an address with a scheme,
// such as postgres://host:port/name, and returns it with the address that leads
// through it.
func ProxyBefore(t testing.TB, address string) (p *Proxy, through string) {
	t.Helper()
	p = NewProxy(t, hostOf(t, address))
	target, _ := url.Parse(address) // hostOf has
	target.Host = p.Address()
	return p, target.String()
}

// hostOf returns the host and port of an address with a scheme.
func hostOf(t testing.TB, address string) string {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil || target.Port() == "" {
		t.Fatal("the address of a test server cannot be parsed, or has no port")
	}
	return target.Host
}

func newProxy(t testing.TB, target string) *Proxy {
	return &Proxy{
		t: t, target: target, address: "127.0.0.1:0", changed: make(chan struct{}), conns: map[*proxied]bool{},
		take: func(from io.Reader, buffer []byte) ([]byte, error) {
			n, err := from.Read(buffer)
			return buffer[:n], err
		},
	}
}

func (p *Proxy) open() {
	p.t.Helper()
	p.mu.Lock()
	err := p.listen()
	p.mu.Unlock()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.Set(Refuse)
		p.group.Wait()
	})
}

// Address returns the host and port the proxy listens on.
func (p *Proxy) Address() string { return p.address }

// Set makes the proxy fail so, connections that are open included, until it is
// called again.
func (p *Proxy) Set(fault Fault) { p.set(proxyState{fault: fault}) }

// CutAnswers lets everything pass, but resets each connection after so many
// bytes of answers.
func (p *Proxy) CutAnswers(after int) { p.set(proxyState{cut: after}) }

// Delay lets everything pass, each piece of an answer so much later.
func (p *Proxy) Delay(by time.Duration) { p.set(proxyState{delay: by}) }

// Disconnect closes every connection; new ones pass.
func (p *Proxy) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.end()
	}
}

func (p *Proxy) set(state proxyState) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
	close(p.changed)
	p.changed = make(chan struct{})
	if state.fault != Refuse {
		if err := p.listen(); err != nil {
			p.t.Error(err)
		}
		return
	}
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		c.end()
	}
}

// listen begins to accept, on the same port as before. The caller holds mu.
func (p *Proxy) listen() error {
	if p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.address)
	for deadline := time.Now().Add(2 * time.Second); err != nil && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // an outgoing connection may have borrowed the port
		listener, err = net.Listen("tcp", p.address)
	}
	if err != nil {
		return err
	}
	p.listener, p.address = listener, listener.Addr().String()
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.serve(client) })
		}
	})
	return nil
}

func (p *Proxy) now() (proxyState, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.changed
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &proxied{client: client, server: server, gone: make(chan struct{})}
	c.end = sync.OnceFunc(func() {
		close(c.gone)
		_ = client.Close()
		_ = server.Close()
	})
	p.mu.Lock()
	p.conns[c] = true
	if p.state.fault == Refuse {
		c.end()
	}
	p.mu.Unlock()
	p.group.Go(func() { p.pump(c, client, p.request) })
	p.pump(c, server, p.answer)
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// pump passes on what comes from one side until either is closed.
func (p *Proxy) pump(c *proxied, from io.Reader, pass func(c *proxied, piece []byte) error) {
	defer c.end()
	buffer := make([]byte, 16<<10)
	for {
		piece, err := p.take(from, buffer)
		if len(piece) > 0 {
			if err := pass(c, piece); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

var errEnded = errors.New("the connection has ended")

// unhung waits while nothing moves and returns what happens then.
func (p *Proxy) unhung(c *proxied) (proxyState, error) {
	for {
		state, changed := p.now()
		if state.fault != Hang {
			return state, nil
		}
		select {
		case <-changed:
		case <-c.gone:
			return state, errEnded
		}
	}
}

func (p *Proxy) request(c *proxied, piece []byte) error {
	if _, err := p.unhung(c); err != nil {
		return err
	}
	if p.inspect != nil {
		p.inspect(c, piece)
	}
	_, err := c.server.Write(piece)
	return err
}

func (p *Proxy) answer(c *proxied, piece []byte) error {
	state, err := p.unhung(c)
	if err != nil {
		return err
	}
	c.dead = c.dead || state.fault == HalfOpen
	switch {
	case c.lose.Load():
		p.Set(Refuse)
		return errEnded
	case c.dead:
		return nil
	case state.fault == Reset:
		return c.reset(piece[:len(piece)/2])
	case state.cut > 0 && c.sent+len(piece) > state.cut:
		return c.reset(piece[:max(0, state.cut-c.sent)])
	case state.fault == Garbage:
		piece = bytes.Repeat([]byte{0xA5, '\r', '\n', 0}, 16)
	case state.fault == Drip:
		return p.drip(c, piece)
	case state.delay > 0:
		time.Sleep(state.delay) // the slowness under test
	}
	c.sent += len(piece)
	_, err = c.client.Write(piece)
	return err
}

func (p *Proxy) drip(c *proxied, piece []byte) error {
	for i := range piece {
		state, changed := p.now()
		if state.fault != Drip {
			return p.answer(c, piece[i:])
		}
		if _, err := c.client.Write(piece[i : i+1]); err != nil {
			return err
		}
		c.sent++
		select {
		case <-time.After(50 * time.Millisecond):
		case <-changed:
		case <-c.gone:
			return errEnded
		}
	}
	return nil
}

// reset sends the last bytes and resets the connection.
func (c *proxied) reset(last []byte) error {
	_, _ = c.client.Write(last)
	if tcp, ok := c.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return errEnded
}
