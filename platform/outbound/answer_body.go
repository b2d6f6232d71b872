package outbound

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// How an answer stands.
const (
	answerOpen int32 = iota
	answerWhole
	answerCut // by an error or by Close, before its end
)

// answerBody reads the body of an answer. Read to its end, it leaves the
// connection to the next request; closed before that, it ends it.
type answerBody struct {
	io.Reader
	connection *connection
	idle       *idleConnections // nil = the connection ends with the body
	keep       func() bool      // says that the end of ctx is not the connection's any more
	ctx        context.Context
	state      atomic.Int32
}

func (b *answerBody) Read(p []byte) (int, error) {
	switch b.state.Load() {
	case answerWhole:
		return 0, io.EOF
	case answerCut:
		return 0, b.cut(http.ErrBodyReadAfterClose)
	}
	n, err := b.Reader.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.end(answerWhole)
	default:
		b.end(answerCut)
		err = b.cut(err)
	}
	return n, err
}

// cut returns why an answer did not come to its end.
func (b *answerBody) cut(err error) error {
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	return err
}

// end lets the connection serve the next request, or ends it, once.
func (b *answerBody) end(state int32) {
	if !b.state.CompareAndSwap(answerOpen, state) {
		return
	}
	reusable := b.keep() && state == answerWhole && b.idle != nil && b.connection.reader.Buffered() == 0
	if reusable {
		b.idle.keep(b.connection)
		return
	}
	b.connection.end()
}

// Close ends the answer. Nothing can be read afterwards.
func (b *answerBody) Close() error {
	b.end(answerCut)
	return nil
}

// unpack unpacks an answer that came packed though that was not asked for.
func unpack(request *http.Request, response *http.Response) {
	if strings.EqualFold(response.Header.Get("Content-Encoding"), "gzip") && !strings.Contains(request.Header.Get("Accept-Encoding"), "gzip") {
		response.Body = &unzippedBody{packed: response.Body}
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
		response.ContentLength = -1
	}
}

// unzippedBody unpacks an answer as it is read.
type unzippedBody struct {
	packed io.ReadCloser
	reader *gzip.Reader
}

func (b *unzippedBody) Read(p []byte) (int, error) {
	if b.reader == nil {
		reader, err := gzip.NewReader(b.packed)
		if err != nil {
			return 0, err
		}
		b.reader = reader
	}
	return b.reader.Read(p)
}

func (b *unzippedBody) Close() error { return b.packed.Close() }
