package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
)

// BodyLimit bounds every request body to what its route accepts.
func BodyLimit() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			limit := int64(DefaultMaxBody)
			if route := RouteOf(c); route != nil {
				limit = route.MaxBody
			}
			r := c.Request()
			if r.ContentLength > limit {
				return ReadFault(&http.MaxBytesError{Limit: limit})
			}
			if r.Body != nil && r.Body != http.NoBody {
				r.Body = http.MaxBytesReader(c.Response().Writer, r.Body, limit) // net/http's own writer then ends the connection
			}
			return next(c)
		}
	}
}

var (
	// bodyDeadline is how long a client may take to send a request body.
	bodyDeadline = 30 * time.Second
	// lingerDeadline is how long the rest of a body is awaited when the answer
	// did not need it.
	lingerDeadline = 2 * time.Second
)

// Timeout bounds the body's arrival and the whole operation. An operation that
// was given up because its time was over fails with a Timeout fault, whatever
// the layers below made of their ended context. Use it outside of everything
// that reads a body or waits.
func Timeout() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			defer awaitBody(c)()
			limit := DefaultTimeout
			if route := RouteOf(c); route != nil {
				limit = route.Timeout
			}
			r := c.Request()
			ctx, cancel := context.WithTimeout(r.Context(), limit)
			defer cancel()
			c.SetRequest(r.WithContext(ctx))
			return whyEnded(next(c), r.Context(), ctx)
		}
	}
}

// awaitBody gives the request's body a deadline to arrive. Once the body is
// there, net/http lifts it to watch whether the client leaves. What is not there
// when the answer is made gets a last short deadline: net/http waits for the
// rest of a body before it serves the connection again. Call the returned
// function then.
func awaitBody(c echo.Context) func() {
	r := c.Request()
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	controller := http.NewResponseController(c.Response())
	_ = controller.SetReadDeadline(time.Now().Add(bodyDeadline)) // not every test writer can
	body := &arrivingBody{ReadCloser: r.Body}
	r.Body = body
	return func() {
		if !body.arrived {
			_ = controller.SetReadDeadline(time.Now().Add(lingerDeadline))
		}
	}
}

// arrivingBody remembers whether a body was read to its end.
type arrivingBody struct {
	io.ReadCloser
	arrived bool
}

func (b *arrivingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.arrived = b.arrived || errors.Is(err, io.EOF)
	return n, err
}

// errStopping is why requests end that outlast the drain time.
var errStopping = errors.New("the server stops")

// whyEnded corrects a fault that only says that a context ended: below, nobody
// can tell a client that left from a time that was over or a server that stops.
func whyEnded(err error, client, operation context.Context) error {
	if err == nil {
		return nil
	}
	f := *Fault(err)
	switch {
	case f.Kind != fault.Cancelled && f.Kind != fault.Timeout:
		return err
	case errors.Is(context.Cause(client), errStopping):
		f.Kind, f.Code, f.Detail = fault.Unavailable, "shutting_down", "The server is stopping. Try again shortly."
	case f.Kind == fault.Cancelled && client.Err() == nil && errors.Is(operation.Err(), context.DeadlineExceeded):
		f.Kind, f.Code, f.Detail = fault.Timeout, "timeout", timeoutDetail
	default:
		return err
	}
	f.Cause = err
	return &f
}
