package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

// Problem is the body of every error (RFC 9457, application/problem+json).
type Problem struct {
	Type      string        `json:"type" doc:"Always about:blank: code says which problem it is."`
	Title     string        `json:"title" doc:"The meaning of the status."`
	Status    int           `json:"status"`
	Detail    string        `json:"detail" doc:"What happened and what to do next."`
	Instance  string        `json:"instance" doc:"The path of the request."`
	Code      string        `json:"code" doc:"Stable and machine-readable."`
	RequestID string        `json:"request_id"`
	Errors    []fault.Field `json:"errors,omitempty" doc:"Every bad input, for validation problems."`

	extra map[string]any
}

// MarshalJSON writes the members of the problem and its extensions.
func (p Problem) MarshalJSON() ([]byte, error) {
	type plain Problem
	if len(p.extra) == 0 {
		return json.Marshal(plain(p))
	}
	data, err := json.Marshal(plain(p))
	if err != nil {
		return nil, err
	}
	members := map[string]any{}
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	for key, value := range p.extra {
		if _, taken := members[key]; !taken {
			members[key] = value
		}
	}
	return json.Marshal(members)
}

// statusOf is the one table from kinds to HTTP.
var statusOf = map[fault.Kind]int{
	fault.Internal:         http.StatusInternalServerError,
	fault.Malformed:        http.StatusBadRequest,
	fault.Invalid:          http.StatusUnprocessableEntity,
	fault.Contradictory:    http.StatusUnprocessableEntity,
	fault.Unauthenticated:  http.StatusUnauthorized,
	fault.PaymentRequired:  http.StatusPaymentRequired,
	fault.Forbidden:        http.StatusForbidden,
	fault.NotFound:         http.StatusNotFound,
	fault.MethodNotAllowed: http.StatusMethodNotAllowed,
	fault.Conflict:         http.StatusConflict,
	fault.TooLarge:         http.StatusRequestEntityTooLarge,
	fault.UnsupportedMedia: http.StatusUnsupportedMediaType,
	fault.BadRange:         http.StatusRequestedRangeNotSatisfiable,
	fault.RateLimited:      http.StatusTooManyRequests,
	fault.Cancelled:        StatusClientClosedRequest,
	fault.BadUpstream:      http.StatusBadGateway,
	fault.Unavailable:      http.StatusServiceUnavailable,
	fault.Timeout:          http.StatusGatewayTimeout,
	fault.OutOfSpace:       http.StatusInsufficientStorage,
}

// StatusClientClosedRequest is logged when the client went away before the
// answer. Nobody receives it.
const StatusClientClosedRequest = 499

const timeoutDetail = "The request took longer than allowed. Try again later."

// Fault turns any error into a fault: its own if it is one, otherwise one for
// Echo's errors, cancelled contexts, and at last an Internal one.
func Fault(err error) *fault.Error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var fromEcho *echo.HTTPError
	switch {
	case errors.As(err, &fromEcho):
		return echoFault(fromEcho)
	case errors.Is(err, context.Canceled):
		return fault.Wrap(err, fault.Cancelled, "cancelled", "The client went away before the answer was ready.")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "timeout", timeoutDetail)
	default:
		return fault.Wrap(err, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
	}
}

func echoFault(err *echo.HTTPError) *fault.Error {
	switch err.Code {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "not_found", "There is nothing at this address. GET /docs lists every route.")
	case http.StatusMethodNotAllowed:
		return fault.New(fault.MethodNotAllowed, "method_not_allowed", "This address does not answer that method; the Allow header lists those it does.")
	case http.StatusRequestedRangeNotSatisfiable:
		return fault.New(fault.BadRange, "range_not_satisfiable", "The Range header asks for bytes that are not there.")
	case http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, "body_too_large", "The request body is larger than this route accepts.")
	default:
		return fault.Wrap(err, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
	}
}

// StatusOf returns the HTTP status an error becomes.
func StatusOf(err error) int { return statusOf[Fault(err).Kind] }

// ProblemOf returns the problem document an error becomes for request r.
func ProblemOf(err error, r *http.Request) Problem {
	f := Fault(err)
	status := statusOf[f.Kind]
	title := http.StatusText(status)
	if status == StatusClientClosedRequest {
		title = "Client Closed Request"
	}
	return Problem{
		Type: "about:blank", Title: title, Status: status, Detail: f.Detail, Instance: r.URL.Path,
		Code: f.Code, RequestID: identity.RequestID(r.Context()), Errors: f.Fields, extra: maps.Clone(f.Extra),
	}
}

// ErrorHandler returns Echo's error handler: the one place where an error
// becomes HTTP. It logs each 5xx once with its cause, and leaves an answer that
// has already begun alone.
func ErrorHandler(logger *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		r := c.Request()
		f := Fault(err)
		status := statusOf[f.Kind]
		if underOpenAI(r.URL.Path) {
			f = inOpenAITerms(f)
			status = openAIStatus(f)
		}
		if status >= http.StatusInternalServerError {
			logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
				slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int("status", status),
				slog.String("code", f.Code), slog.Any("cause", causeOf(f)))
		}
		if c.Response().Committed {
			return
		}
		writeProblem(c, f, status)
	}
}

func causeOf(f *fault.Error) any {
	if f.Cause == nil {
		return f.Detail
	}
	return f.Cause.Error()
}

// usualPause is when a client may try again whose fault passes and says no time.
const usualPause = 2 * time.Second

func writeProblem(c echo.Context, f *fault.Error, status int) {
	r := c.Request()
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store")
	pause := f.RetryAfter
	if pause <= 0 && f.Kind == fault.Unavailable && !f.Final {
		pause = usualPause
	}
	if pause > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(pause.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="llmhist"`)
	}
	var body any = ProblemOf(f, r)
	contentType := "application/problem+json"
	if underOpenAI(r.URL.Path) {
		body, contentType = openAIErrorOf(f, status), "application/json"
		setOpenAIRetry(header, f)
	}
	data, err := json.Marshal(body)
	if err != nil {
		data = []byte(`{"title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	header.Set(echo.HeaderContentType, contentType)
	if r.Method == http.MethodHead {
		c.Response().WriteHeader(status)
		return
	}
	c.Response().WriteHeader(status)
	_, _ = c.Response().Write(data) // a client that is gone needs no answer
}
