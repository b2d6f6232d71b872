package outbound

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// answerBody reads the body of an answer. Read to its end, it leaves the
// connection to the next request; closed before that, it ends it.
type answerBody struct {
	io.Reader
	connection *connection
	idle       *idleConnections // nil = the connection ends with the body
	keep       func() bool      // says that the end of ctx is not the connection's any more
	ctx        context.Context
	over       atomic.Bool
}

func (b *answerBody) Read(p []byte) (int, error) {
	if b.over.Load() {
		return 0, io.EOF
	}
	n, err := b.Reader.Read(p)
	if err == nil {
		return n, nil
	}
	if b.over.CompareAndSwap(false, true) {
		b.release(errors.Is(err, io.EOF))
	}
	if !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
		err = b.ctx.Err()
	}
	return n, err
}

func (b *answerBody) release(whole bool) {
	reusable := b.keep() && whole && b.idle != nil && b.connection.reader.Buffered() == 0
	if reusable {
		b.idle.keep(b.connection)
		return
	}
	b.connection.end()
}

// Close ends the answer. Nothing can be read afterwards.
func (b *answerBody) Close() error {
	if b.over.CompareAndSwap(false, true) {
		b.release(false)
	}
	return nil
}

// unzippedBody unpacks an answer as it is read.
type unzippedBody struct {
	packed *answerBody
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
