package analytics

import (
	"context"
	"errors"
	"net/http"
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
// the answer of a failed handler itself and then returns nil. It never delays a
// request and never reads what was asked or answered.
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
			observed := observation{route: route, client: r.Context(), record: record, start: m.deps.Now()}

			returned := false
			defer func() {
				if !returned { // a panic on its way to whoever recovers it
					m.queue.add(m.event(c, observed, outcome{StatusFailed, http.StatusInternalServerError, "internal"}))
				}
			}()
			err := next(c)
			returned = true
			m.queue.add(m.event(c, observed, answer(c, observed, err)))
			return nil
		}
	}
}

// observation is what the middleware knows about a request before it is served.
type observation struct {
	route  *web.Route
	client context.Context // ends when the client hangs up, not when a timeout of ours does
	record *usage.Record
	start  time.Time
}

// answer writes the answer of a failed handler and says how the request ended.
func answer(c echo.Context, o observation, err error) outcome {
	gone := errors.Is(o.client.Err(), context.Canceled)
	if err != nil {
		c.Error(err)
	}
	response := c.Response()
	if !response.Committed && gone {
		return outcome{StatusCancelled, web.StatusClientClosedRequest, "cancelled"}
	}
	return outcomeOf(response.Status, err, o.record.Figures().Outcome, gone)
}

func (m *Module) event(c echo.Context, o observation, end outcome) *Event {
	at := o.start.UTC().Truncate(time.Millisecond)
	ctx := c.Request().Context() // by now with the identity that was found further inside
	e := &Event{
		ID: m.deps.NewID(at), At: at, UserID: identity.From(ctx).Owner(),
		Service: o.route.Service, Action: o.route.Action, RequestID: identity.RequestID(ctx),
		Status: end.status, HTTPStatus: end.http, Code: end.code,
		LatencyMS: m.deps.Now().Sub(o.start).Milliseconds(),
	}
	e.fill(o.record.Figures(), o.start)
	e.sanitize()
	return e
}
