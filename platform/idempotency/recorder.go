package idempotency

import (
	"bytes"
	"net/http"
	"strings"
)

// recorder keeps an answer. One that is whole it holds back until it is released;
// a stream, and what is too large to be kept, goes on at once.
type recorder struct {
	http.ResponseWriter
	status  int
	body    bytes.Buffer
	through bool // what comes goes on at once
	large   bool // more came than is kept
	gone    bool // the client is: what comes is kept for when it asks again
}

// Unwrap lets http.ResponseController find what is underneath.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader begins the answer.
func (r *recorder) WriteHeader(status int) {
	if r.status != 0 {
		return
	}
	r.status = status
	if strings.HasPrefix(r.Header().Get("Content-Type"), "text/event-stream") {
		r.pass()
	}
}

// Write keeps a piece of the answer.
func (r *recorder) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.body.Len()+len(data) > maxAnswer {
		r.large = true
		if !r.through {
			r.flush()
		}
		r.body.Reset()
	}
	if !r.large {
		r.body.Write(data)
	}
	if r.through && !r.gone {
		_, err := r.ResponseWriter.Write(data)
		r.gone = err != nil
	}
	return len(data), nil
}

// FlushError sends what was written. Whoever writes learns that the client left
// from the context of its request.
func (r *recorder) FlushError() error {
	if r.through && !r.gone {
		r.gone = http.NewResponseController(r.ResponseWriter).Flush() != nil
	}
	return nil
}

// pass lets everything from here on go on at once.
func (r *recorder) pass() {
	r.through = true
	r.ResponseWriter.WriteHeader(r.status)
}

func (r *recorder) flush() {
	r.pass()
	_, err := r.ResponseWriter.Write(r.body.Bytes())
	r.gone = err != nil
}

// release sends what was held back. err is that of the handler, whose answer, if
// it has none yet, is made by whoever gets it.
func (r *recorder) release(err error) error {
	if r.status != 0 && !r.through {
		r.flush()
	}
	return err
}

func (r *recorder) outcome() Outcome {
	header := http.Header{}
	for _, name := range kept {
		if values := r.Header().Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	return Outcome{Status: r.status, Header: header, Body: r.body.Bytes(), TooLarge: r.large}
}
