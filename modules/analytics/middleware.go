package analytics

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/identity"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// Record returns the middleware that makes one event of every request to a
// route that names a Service. Put it outside of what refuses requests
// (identity, rate limits, body limits, timeouts), so that refusals are counted
// too; it works inside and outside of the one that recovers panics. It writes
// the answer of a failed handler itself and then returns nil. It never waits for
// the storage and never reads what was asked or answered.
//
// The event is recorded before the first byte of the answer is sent; that of a
// stream of events when its service calls usage.Complete, or when the handler
// returns, which is before the end of the answer is sent.
func (m *Module) Record() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			route := web.RouteOf(c)
			if route == nil || route.Service == "" {
				return next(c)
			}
			r := c.Request()
			ctx, record := usage.Begin(r.Context())
			c.SetRequest(r.WithContext(ctx))
			o := &observation{module: m, c: c, route: route, client: r.Context(), record: record, start: m.deps.Now()}
			record.OnComplete(func() { o.settle(true) })
			c.Response().Before(func() {
				if !isStream(c.Response().Header()) {
					o.settle(true)
				}
			})

			returned := false
			defer func() {
				if !returned { // a panic on its way to whoever recovers it
					o.settleAs(outcome{StatusFailed, http.StatusInternalServerError, "internal"})
				}
			}()
			o.err = next(c)
			returned = true
			if o.err != nil {
				c.Error(o.err)
			}
			o.settle(c.Response().Committed)
			return nil
		}
	}
}

// isStream reports whether an answer goes on after its beginning.
func isStream(header http.Header) bool {
	return strings.HasPrefix(header.Get(echo.HeaderContentType), "text/event-stream")
}

// observation is one request on its way to being an event.
type observation struct {
	module *Module
	c      echo.Context
	route  *web.Route
	client context.Context // ends when the client hangs up, not when a timeout of ours does
	record *usage.Record
	start  time.Time
	err    error // of the handler
	once   sync.Once
}

// settle records the request, once, as it stands. answered says that an answer
// is on its way.
func (o *observation) settle(answered bool) {
	gone := errors.Is(o.client.Err(), context.Canceled)
	if !answered && gone {
		o.settleAs(outcome{StatusCancelled, web.StatusClientClosedRequest, "cancelled"})
		return
	}
	o.settleAs(outcomeOf(o.c.Response().Status, o.err, o.record.Figures().Outcome, gone))
}

func (o *observation) settleAs(end outcome) {
	o.once.Do(func() {
		if !o.record.Omitted() {
			o.module.recorder.add(o.event(end))
		}
	})
}

func (o *observation) event(end outcome) *Event {
	deps := o.module.deps
	at := o.start.UTC().Truncate(time.Millisecond)
	ctx := o.c.Request().Context() // by now with the identity that was found further inside
	e := &Event{
		ID: deps.NewID(at), At: at, UserID: identity.From(ctx).Owner(),
		Service: o.route.Service, Action: o.route.Action, RequestID: identity.RequestID(ctx),
		Status: end.status, HTTPStatus: end.http, Code: end.code,
		LatencyMS: deps.Now().Sub(o.start).Milliseconds(),
	}
	e.fill(o.record.Figures(), o.start)
	e.sanitize()
	return e
}
