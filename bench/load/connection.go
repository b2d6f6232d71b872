package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// connection is one keep-alive connection that is opened when it is needed.
type connection struct {
	address string
	timeout time.Duration
	conn    net.Conn
	reader  *bufio.Reader
	body    []byte // of the last answer; its memory is used again
}

// answer is what came back for one request.
type answer struct {
	status    int
	body      []byte
	firstByte time.Duration
	whole     time.Duration
}

var (
	errConnect = errors.New("connection refused or timed out")
	errBroken  = errors.New("connection broken or answer not complete in time")
	errBig     = errors.New("answer too large")
	errMarker  = errors.New("stream without its marker")
)

// ask sends a request and reads the whole answer. After an error the next
// request opens a new connection.
func (c *connection) ask(request Request) (answer, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, c.timeout)
		if err != nil {
			return answer{}, errConnect
		}
		c.conn, c.reader = conn, bufio.NewReaderSize(conn, 32<<10)
	}
	got, keep, err := c.exchange(request)
	if err != nil || !keep {
		c.close()
	}
	return got, err
}

func (c *connection) exchange(request Request) (got answer, keep bool, err error) {
	start := time.Now()
	if err := c.conn.SetDeadline(start.Add(c.timeout)); err != nil {
		return answer{}, false, errBroken
	}
	if _, err := c.conn.Write(request.Wire); err != nil {
		return answer{}, false, errBroken
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, false, errBroken
	}
	defer func() { _ = response.Body.Close() }()
	got.status = response.StatusCode
	if err := c.readBody(response.Body, request.Marker, &got, start); err != nil {
		return got, false, err
	}
	got.whole, got.body = time.Since(start), c.body
	if got.firstByte == 0 {
		if len(request.Marker) > 0 && got.status == http.StatusOK {
			return got, false, errMarker
		}
		got.firstByte = got.whole // an empty body
	}
	return got, !response.Close, nil
}

// readBody reads the body into c.body and notes when the marker arrived.
func (c *connection) readBody(body io.Reader, marker []byte, got *answer, start time.Time) error {
	c.body = c.body[:0]
	for {
		if len(c.body) == cap(c.body) {
			c.body = append(c.body, make([]byte, max(4096, len(c.body)))...)[:len(c.body)]
		}
		n, err := body.Read(c.body[len(c.body):cap(c.body)])
		before := len(c.body)
		c.body = c.body[:before+n]
		if n > 0 && got.firstByte == 0 && bytes.Contains(c.body[max(0, before-len(marker)):], marker) {
			got.firstByte = time.Since(start)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errBroken
		case len(c.body) > maxBody:
			return errBig
		}
	}
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost: the answer was read or given up
	}
	c.conn, c.reader = nil, nil
}
