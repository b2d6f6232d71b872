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

// EventStream is an answer of server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). Every event
// is flushed at once; see Serve for clients that do not read.
type EventStream struct {
	mu         sync.Mutex
	c          echo.Context
	controller *http.ResponseController
	ping       *time.Timer
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
	frame := make([]byte, 0, len(event)+len(data)+16)
	if event != "" {
		frame = append(append(append(frame, "event: "...), event...), '\n')
	}
	frame = append(append(append(frame, "data: "...), data...), '\n', '\n')
	return s.write(frame)
}

// SendData writes one event without a name, whose data is one line, and flushes
// it. The error is as of Send.
func (s *EventStream) SendData(data []byte) error {
	frame := make([]byte, 0, len(data)+8)
	frame = append(append(append(frame, "data: "...), data...), '\n', '\n')
	return s.write(frame)
}

func (s *EventStream) sendPing() { _ = s.write([]byte(": ping\n\n")) }

func (s *EventStream) write(frame []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.err != nil {
		return s.err
	}
	_, s.err = s.c.Response().Write(frame)
	if s.err == nil {
		s.err = s.controller.Flush()
	}
	s.ping.Reset(keepAlive)
	return s.err
}

// Close ends the keep-alive. The answer itself ends when the handler returns.
func (s *EventStream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ping.Stop()
}
