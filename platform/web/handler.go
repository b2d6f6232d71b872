package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/labstack/echo/v4"
)

// Handler is a route's function together with the types it takes and returns.
// Make one with JSON, NoContent or Raw.
type Handler struct {
	serve   echo.HandlerFunc
	in      *binder
	answers []Answer
}

// Answer describes one successful outcome of a handler for the reference.
type Answer struct {
	Status      int
	ContentType string       // "" = application/json
	Body        reflect.Type // nil = no body, or bytes of ContentType
	Description string
}

// HeaderSetter is implemented by answers that also set response headers.
type HeaderSetter interface{ SetHeader(h http.Header) }

// JSON makes a handler from a function over plain types. The In struct is read
// strictly: fields tagged `path:"id"` and `query:"page"` from the URL (tag them
// json:"-" too), all others from a JSON body by their json tag. The Out value
// becomes the JSON answer with the given status.
func JSON[In, Out any](status int, serve func(ctx context.Context, in In) (Out, error)) Handler {
	in := newBinder(reflect.TypeFor[In]())
	return Handler{
		in:      in,
		answers: []Answer{{Status: status, Body: reflect.TypeFor[Out]()}},
		serve: func(c echo.Context) error {
			var input In
			if err := in.bind(c, reflect.ValueOf(&input).Elem()); err != nil {
				return err
			}
			out, err := serve(c.Request().Context(), input)
			if err != nil {
				return err
			}
			return WriteJSON(c, status, out)
		},
	}
}

// NoContent makes a handler that answers 204 without a body.
func NoContent[In any](serve func(ctx context.Context, in In) error) Handler {
	in := newBinder(reflect.TypeFor[In]())
	return Handler{
		in:      in,
		answers: []Answer{{Status: http.StatusNoContent}},
		serve: func(c echo.Context) error {
			var input In
			if err := in.bind(c, reflect.ValueOf(&input).Elem()); err != nil {
				return err
			}
			if err := serve(c.Request().Context(), input); err != nil {
				return err
			}
			return c.NoContent(http.StatusNoContent)
		},
	}
}

// Raw makes a handler that writes its own answer: streams, redirects, media.
// Input is read as for JSON.
func Raw[In any](serve func(c echo.Context, in In) error, answers ...Answer) Handler {
	in := newBinder(reflect.TypeFor[In]())
	return Handler{
		in:      in,
		answers: answers,
		serve: func(c echo.Context) error {
			var input In
			if err := in.bind(c, reflect.ValueOf(&input).Elem()); err != nil {
				return err
			}
			return serve(c, input)
		},
	}
}

// RawJSON makes a handler that reads the JSON object of the request's body itself
// and writes its own answer: what it does not know goes on unchanged to somebody
// who does. In describes for the reference what it knows.
func RawJSON[In any](serve func(c echo.Context, body []byte) error, answers ...Answer) Handler {
	return Handler{
		in:      newBinder(reflect.TypeFor[In]()),
		answers: answers,
		serve: func(c echo.Context) error {
			body, err := readObject(c.Request())
			if err != nil {
				return err
			}
			return serve(c, body)
		},
	}
}

// BodyOptional lets a request come without any body; it then reads as {}.
func (h Handler) BodyOptional() Handler {
	h.in.bodyOptional = true
	return h
}

// Lenient ignores the fields of a request body that the handler does not know:
// below /v1, clients may know more than this server.
func (h Handler) Lenient() Handler {
	h.in.lenient = true
	for name, in := range h.in.body {
		in.lenient = true
		h.in.body[name] = in
	}
	return h
}

// Returns describes a successful answer whose body is a T.
func Returns[T any](status int, contentType, description string) Answer {
	return Answer{Status: status, ContentType: contentType, Body: reflect.TypeFor[T](), Description: description}
}

// WriteJSON writes v as the answer. Angle brackets and ampersands are written
// as they are: the content type, not the escaping, keeps a browser from
// reading HTML in it. A value that cannot be encoded is an error before
// anything is sent; a client that is gone is none.
func WriteJSON(c echo.Context, status int, v any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	if setter, ok := v.(HeaderSetter); ok {
		setter.SetHeader(c.Response().Header())
	}
	return WriteRawJSON(c, status, body.Bytes())
}

// WriteRawJSON writes a JSON document as the answer.
func WriteRawJSON(c echo.Context, status int, document []byte) error {
	c.Response().Header().Set(echo.HeaderContentType, "application/json")
	c.Response().WriteHeader(status)
	_, _ = c.Response().Write(document) // a client that is gone needs no answer
	return nil
}
