// Package sse reads streams of server-sent events as providers send them
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). It differs
// from a browser in one point: an event that the end of the stream leaves
// without its blank line is still delivered, because some servers close that
// way after their last event.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxEvent is the most bytes of data one event may hold when the caller
// names no limit. A single line is bounded by the same figure.
const DefaultMaxEvent = 1 << 20

// ErrTooLarge says that a line or an event is larger than the reader accepts.
// The stream cannot be read on after it.
var ErrTooLarge = errors.New("server-sent event is too large")

// Event is one message of a stream.
type Event struct {
	Name string // the last "event" field; "" when there was none
	Data []byte // the "data" lines joined with LF; valid until the next call
}

// Reader splits a stream into events. It is not safe for concurrent use.
type Reader struct {
	in      *bufio.Reader
	limit   int
	line    []byte
	data    []byte
	started bool  // the first line, which may carry a byte order mark, is read
	skipLF  bool  // the last line ended in CR: a LF right after belongs to it
	err     error // what ended the stream, returned by every later call
}

// readBuffer is small: of many streams that wait for a model each has one.
const readBuffer = 2 << 10

// maxKept is how much memory is kept for the next event.
const maxKept = 64 << 10

// NewReader returns a reader of source. maxEvent bounds one event and one line
// in bytes; 0 means DefaultMaxEvent.
func NewReader(source io.Reader, maxEvent int) *Reader {
	if maxEvent <= 0 {
		maxEvent = DefaultMaxEvent
	}
	return &Reader{in: bufio.NewReaderSize(source, readBuffer), limit: maxEvent}
}

// Next returns the next event that has data. At the end of the stream it
// returns io.EOF; when the source fails it returns the source's error, and what
// came of the unfinished event is dropped, since it may be cut in the middle.
// An event or line above the limit is ErrTooLarge.
func (r *Reader) Next() (Event, error) {
	if r.err != nil {
		return Event{}, r.err
	}
	var name string
	hasData := false
	if cap(r.data)+cap(r.line) > maxKept { // a long event is no reason to keep as much for each further one
		r.data, r.line = nil, nil
	}
	r.data = r.data[:0]
	for {
		line, err := r.readLine()
		if err != nil {
			r.err = err
			if errors.Is(err, io.EOF) && hasData {
				return Event{Name: name, Data: r.data}, nil
			}
			return Event{}, err
		}
		if len(line) == 0 {
			if hasData {
				return Event{Name: name, Data: r.data}, nil
			}
			name = ""
			continue
		}
		field, value := split(line)
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if hasData {
				r.data = append(r.data, '\n')
			}
			hasData = true
			r.data = append(r.data, value...)
		}
		if len(r.data) > r.limit {
			r.err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, r.limit)
			return Event{}, r.err
		}
	}
}

// Ready reports whether the next event with data has come already, and returns its
// lines. It looks no further than it can at a glance: where it says no, Next may
// still not have to wait.
func (r *Reader) Ready() (line []byte, whole bool) {
	ready, _ := r.in.Peek(r.in.Buffered()) // cannot fail: these bytes are there
	if r.skipLF {
		ready = bytes.TrimPrefix(ready, []byte("\n"))
	}
	line, _, whole = bytes.Cut(ready, []byte("\n\n"))
	return line, whole && r.err == nil && bytes.HasPrefix(line, []byte("data:"))
}

// split cuts a line into its field and value; a comment has the field "".
func split(line []byte) (field, value []byte) {
	field, value, _ = bytes.Cut(line, []byte(":"))
	return field, bytes.TrimPrefix(value, []byte(" "))
}

// readLine returns the next line without its end, which may be LF, CR or CRLF.
// It never waits for the byte after a CR, so an event is delivered as soon as
// its blank line is there. The last line may lack an end.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if _, err := r.in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && len(r.line) > 0 {
				return r.clean(), nil
			}
			return nil, err
		}
		ready, _ := r.in.Peek(r.in.Buffered()) // cannot fail: these bytes are there
		if r.skipLF {
			r.skipLF = false
			if ready[0] == '\n' {
				_, _ = r.in.Discard(1)
				continue
			}
		}
		end := bytes.IndexByte(ready, '\n')
		if cr := bytes.IndexByte(ready[:lengthTo(ready, end)], '\r'); cr >= 0 {
			end = cr
			r.skipLF = true
		}
		r.line = append(r.line, ready[:lengthTo(ready, end)]...)
		if len(r.line) > r.limit+len("data: ") {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrTooLarge, r.limit)
		}
		_, _ = r.in.Discard(min(lengthTo(ready, end)+1, len(ready)))
		if end >= 0 {
			return r.clean(), nil
		}
	}
}

// lengthTo returns how many bytes lie before end, all of them when end is -1.
func lengthTo(ready []byte, end int) int {
	if end < 0 {
		return len(ready)
	}
	return end
}

// clean removes the byte order mark that the first line may begin with.
func (r *Reader) clean() []byte {
	if r.started {
		return r.line
	}
	r.started = true
	return bytes.TrimPrefix(r.line, []byte("\xef\xbb\xbf"))
}
