package web

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// keepAlive is how often a silent stream sends a comment, so that proxies and
// clients see that it lives.
const keepAlive = 15 * time.Second

// maxFrame is how much memory is kept for the next event.
const maxFrame = 4 << 10

// EventStream is an answer of server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). Every event
// is flushed at once unless it is queued; see Serve for clients that do not read.
type EventStream struct {
	mu         sync.Mutex
	c          echo.Context
	controller *http.ResponseController
	ping       *time.Timer
	frame      []byte // of the last event; its memory is used again
	closed     bool
	err        error
}

// OpenEventStream begins the answer with status 200. Close the stream.
func OpenEventStream(c echo.Context) *EventStream {
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no")
	s := &EventStream{c: c, controller: http.NewResponseController(c.Response())}
	c.Response().WriteHeader(http.StatusOK)
	s.ping = time.AfterFunc(keepAlive, s.sendPing)
	return s
}

// Send writes one event with v as its JSON data and flushes it. The error says
// that the client is gone; it is the same for every later call.
func (s *EventStream) Send(event string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame = s.frame[:0]
	if event != "" {
		s.frame = append(append(append(s.frame, "event: "...), event...), '\n')
	}
	return s.write(data, true)
}

// SendData writes one event without a name, whose data is one line, and flushes
// it. The error is as of Send.
func (s *EventStream) SendData(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame = s.frame[:0]
	return s.write(data, true)
}

// Queue is SendData for an event that others follow at once: Flush sends it, or
// the next event that is flushed.
func (s *EventStream) Queue(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frame = s.frame[:0]
	return s.write(data, false)
}

// Flush sends what was queued.
func (s *EventStream) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

func (s *EventStream) flush() error {
	if !s.closed && s.err == nil {
		s.err = s.controller.Flush()
		s.ping.Reset(keepAlive)
	}
	return s.err
}

func (s *EventStream) sendPing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.err == nil {
		_, s.err = s.c.Response().Write([]byte(": ping\n\n"))
	}
	_ = s.flush() // whoever sends next hears of it
}

// write sends an event, of which the frame holds what comes before its data.
func (s *EventStream) write(data []byte, flush bool) error {
	if s.closed || s.err != nil {
		return s.err
	}
	s.frame = append(append(append(s.frame, "data: "...), data...), '\n', '\n')
	_, s.err = s.c.Response().Write(s.frame)
	if cap(s.frame) > maxFrame {
		s.frame = nil // a long event is no reason to keep as much for each further one
	}
	if s.err != nil || !flush {
		return s.err
	}
	return s.flush()
}

// Close ends the keep-alive. The answer itself ends when the handler returns.
func (s *EventStream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ping.Stop()
}
