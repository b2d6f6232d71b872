package outbound

import (
	"bufio"
	"errors"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// connectionBuffer is small: each of many streams that wait for a model has one.
const connectionBuffer = 2 << 10

// maxHead bounds the headers of an answer.
const maxHead = 256 << 10

// maxInterim is how many answers of a status below 200 may come before the
// answer itself.
const maxInterim = 5

// connection is one to a provider. One request at a time is sent on it.
type connection struct {
	raw      net.Conn // what is read and written, or what is below its TLS
	stream   net.Conn
	reader   *bufio.Reader
	endpoint endpoint
	restedAt time.Time // since when it has had nothing to do

	left     int64     // of what may be read
	askedAt  time.Time // when the last request was begun
	answered bool      // something came since then

	mu     sync.Mutex
	headed bool // the headers of the answer are there: their deadline is over
}

// endpoint is where a connection leads.
type endpoint struct{ scheme, host string }

func newConnection(raw, stream net.Conn, to *url.URL) *connection {
	c := &connection{raw: raw, stream: stream, endpoint: endpoint{to.Scheme, to.Host}}
	c.reader = bufio.NewReaderSize((*boundedReader)(c), connectionBuffer)
	return c
}

// end closes the connection, whoever reads or writes at the moment.
func (c *connection) end() { _ = c.raw.Close() }

// boundedReader reads from the connection what may be read.
type boundedReader connection

var errHead = errors.New("the headers of the answer are too long")

func (r *boundedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errHead
	}
	n, err := r.stream.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.answered = r.answered || n > 0
	return n, err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}

// shortRequest is the length of a body that is sent before the answer is looked
// for. It fits into the buffers of a connection, also of a server that does not
// read it.
const shortRequest = 16 << 10

// ask sends the request and reads the headers of its answer, which may come before
// all of a long request was sent. firstByte is how long they may take after that,
// and how long a short request may take to be sent.
func (c *connection) ask(request *http.Request, firstByte time.Duration) (*http.Response, error) {
	c.askedAt, c.answered, c.headed, c.left = time.Now(), false, false, maxHead
	sent := make(chan error, 1)
	send := func() {
		err := c.send(request)
		c.awaitHead(err, firstByte)
		sent <- err // the last thing it does
	}
	if request.Body == nil || request.ContentLength >= 0 && request.ContentLength <= shortRequest {
		if err := c.stream.SetWriteDeadline(c.askedAt.Add(firstByte)); err != nil {
			return nil, err
		}
		send()
	} else {
		if err := errors.Join(c.stream.SetWriteDeadline(time.Time{}), c.stream.SetReadDeadline(time.Time{})); err != nil {
			return nil, err
		}
		go send() // ends with the connection at the latest
	}
	response, err := c.receive(request)
	unsent := whetherSent(sent, err == nil)
	if err != nil {
		if unsent != nil && !errors.Is(unsent, errSending) {
			err = unsent
		}
		return nil, err
	}
	whole := unsent == nil
	response.Close = response.Close || !whole || response.StatusCode == http.StatusSwitchingProtocols
	c.left = math.MaxInt64 // the body's reader bounds it
	return response, c.goOn(whole)
}

// sentSoon is how long a request whose answer is there may take to be known as sent.
const sentSoon = 20 * time.Millisecond

var errSending = errors.New("the request is still on its way")

// whetherSent returns what became of sending a request. Most answers come when all of
// it was sent, which the goroutine that sent it may only say in a moment.
func whetherSent(sent <-chan error, answered bool) error {
	select {
	case err := <-sent:
		return err
	default:
	}
	if !answered {
		return errSending
	}
	soon := time.NewTimer(sentSoon)
	defer soon.Stop()
	select {
	case err := <-sent:
		return err
	case <-soon.C:
		return errSending
	}
}

// awaitHead gives the headers their deadline. Where the request could not be sent,
// an answer can be there that says why.
func (c *connection) awaitHead(unsent error, firstByte time.Duration) {
	if unsent != nil {
		firstByte = min(firstByte, time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.headed {
		_ = c.stream.SetReadDeadline(time.Now().Add(firstByte)) // fails when the connection ended
	}
}

// goOn lets the body take the time that its reader allows. Nothing is to be written
// any more once the request was sent, except by TLS itself.
func (c *connection) goOn(sent bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headed = true
	if sent {
		return c.stream.SetDeadline(time.Time{})
	}
	return c.stream.SetReadDeadline(time.Time{})
}

func (c *connection) send(request *http.Request) error {
	w, _ := writers.Get().(*bufio.Writer)
	w.Reset(c.stream)
	defer func() {
		w.Reset(nil)
		writers.Put(w)
	}()
	if err := request.Write(w); err != nil {
		return err
	}
	return w.Flush()
}

var errInterim = errors.New("no answer came after several that announced one")

func (c *connection) receive(request *http.Request) (*http.Response, error) {
	for range maxInterim + 1 {
		response, err := http.ReadResponse(c.reader, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, errInterim
}
