// Package fault is the one vocabulary of failure. An error gets its kind where
// it is understood (a repository, a provider client, a service) and becomes
// HTTP in exactly one place, platform/web.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what sort of failure happened, independent of any protocol.
type Kind uint8

// The kinds, each with the HTTP status it becomes.
const (
	Internal         Kind = iota // 500: a defect of ours; the cause is logged, never shown
	Malformed                    // 400: the request cannot be parsed
	Invalid                      // 422: parsed, but a value is not acceptable
	Contradictory                // 422: it contradicts an earlier request
	Unauthenticated              // 401: no credential, or one that is not valid
	PaymentRequired              // 402: a budget of ours is used up
	Forbidden                    // 403: known, but not allowed
	NotFound                     // 404: absent, or not visible to the caller
	MethodNotAllowed             // 405
	Conflict                     // 409: the state of the resource forbids it
	TooLarge                     // 413: more bytes than the limit
	UnsupportedMedia             // 415: wrong content type
	BadRange                     // 416: the byte range asked for is not there
	RateLimited                  // 429: too many requests; RetryAfter says when
	Cancelled                    // 499: the client went away first
	BadUpstream                  // 502: a provider answered, but not usefully
	Unavailable                  // 503: a dependency does not answer
	Timeout                      // 504: a dependency took too long
	OutOfSpace                   // 507: the disk or the quota is full
)

// Error is a failure with a stable machine-readable code and a sentence for
// the person who has to act on it. Detail never carries secrets, prompts or a
// provider's own words; Cause may, and is only ever logged by platform/web.
type Error struct {
	Kind       Kind
	Code       string         // stable, snake_case: "email_taken"
	Detail     string         // what happened and what to do next
	Fields     []Field        // which inputs, for Invalid
	RetryAfter time.Duration  // for RateLimited and Unavailable; 0 = unknown
	Final      bool           // the same request would fail again
	Extra      map[string]any // additional members of the problem document
	Cause      error          // for the log
}

// Field names one bad input.
type Field struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the code and detail, and the cause for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Cause)
	}
	return e.Code + ": " + e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes a fault.
func New(kind Kind, code, detail string) *Error {
	return &Error{Kind: kind, Code: code, Detail: detail}
}

// Wrap makes a fault that keeps its cause for the log.
func Wrap(cause error, kind Kind, code, detail string) *Error {
	return &Error{Kind: kind, Code: code, Detail: detail, Cause: cause}
}

// NotFoundf makes a NotFound fault with code "not_found".
func NotFoundf(format string, args ...any) *Error {
	return New(NotFound, "not_found", fmt.Sprintf(format, args...))
}

// With returns a copy of e with one more member in its problem document.
func (e *Error) With(key string, value any) *Error {
	extra := make(map[string]any, len(e.Extra)+1)
	for k, v := range e.Extra {
		extra[k] = v
	}
	extra[key] = value
	copied := *e
	copied.Extra = extra
	return &copied
}

// Is reports whether err is a fault of the given kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// CodeOf returns the code of err, "internal" for an error that is no fault and
// "" for nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "internal"
}

// Fields collects what is wrong with a request so that one answer names every
// bad input. The zero value is ready.
type Fields struct{ list []Field }

// Add records one bad input.
func (f *Fields) Add(field, code, message string) {
	f.list = append(f.list, Field{Field: field, Code: code, Message: message})
}

// Check records a bad input unless ok.
func (f *Fields) Check(ok bool, field, code, message string) {
	if !ok {
		f.Add(field, code, message)
	}
}

// Err returns nil when nothing was recorded, otherwise one Invalid fault with
// code "validation_failed" that lists everything.
func (f *Fields) Err() error {
	if len(f.list) == 0 {
		return nil
	}
	detail := f.list[0].Field + ": " + f.list[0].Message
	if n := len(f.list) - 1; n > 0 {
		detail = fmt.Sprintf("%s (and %d more)", detail, n)
	}
	return &Error{Kind: Invalid, Code: "validation_failed", Detail: detail, Fields: f.list}
}
