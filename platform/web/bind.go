package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/tidwall/gjson"

	"llmhist/platform/fault"
	"llmhist/platform/rawjson"
)

// binder reads requests into one struct type. It is made once per route.
type binder struct {
	typ          reflect.Type
	path, query  []input
	body         map[string]input
	bodyOptional bool
	lenient      bool // members that are no fields are ignored
}

type input struct {
	name    string
	index   []int
	typ     reflect.Type
	lenient bool // as in binder
}

func newBinder(typ reflect.Type) *binder {
	if typ.Kind() != reflect.Struct {
		panic("web: handler input must be a struct, got " + typ.String())
	}
	b := &binder{typ: typ, body: map[string]input{}}
	for _, field := range reflect.VisibleFields(typ) {
		if !field.IsExported() || field.Anonymous {
			continue
		}
		in := input{index: field.Index, typ: field.Type}
		if name := field.Tag.Get("path"); name != "" {
			in.name = name
			b.path = append(b.path, in)
			continue
		}
		if name := field.Tag.Get("query"); name != "" {
			in.name = name
			b.query = append(b.query, in)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("web: field %s.%s needs a path, query or json tag", typ, field.Name))
		}
		in.name = name
		b.body[name] = in
	}
	return b
}

func (b *binder) bind(c echo.Context, target reflect.Value) error {
	var fields fault.Fields
	for _, in := range b.path {
		setText(&fields, in, target.FieldByIndex(in.index), pathParam(c, in.name))
	}
	if len(b.query) > 0 {
		values := c.QueryParams()
		for _, in := range b.query {
			if text := values.Get(in.name); text != "" {
				setText(&fields, in, target.FieldByIndex(in.index), text)
			}
		}
	}
	if len(b.body) > 0 {
		if err := b.bindBody(c.Request(), target, &fields); err != nil {
			return err
		}
	}
	return fields.Err()
}

// pathParam returns a value of the path as it was meant. Echo matches paths as
// they were sent when anything in them is escaped that need not be: a slash in
// the id of a model, by OpenAI's SDKs.
func pathParam(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value
	}
	if meant, err := url.PathUnescape(value); err == nil {
		return meant
	}
	return value
}

func (b *binder) bindBody(r *http.Request, target reflect.Value, fields *fault.Fields) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return ReadFault(err)
	}
	if b.bodyOptional && len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := checkSaysJSON(r, data); err != nil {
		return err
	}
	members, err := objectMembers(data)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		in, known := b.body[name]
		if !known && b.lenient {
			continue
		}
		if !known {
			fields.Add(name, "unknown_field", "is not a field of this request; it takes "+b.fieldNames())
			continue
		}
		setJSON(fields, in, target.FieldByIndex(in.index), members[name])
	}
	return nil
}

// checkSaysJSON refuses a body that is empty or is not declared as JSON.
func checkSaysJSON(r *http.Request, data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return fault.New(fault.Malformed, "malformed_json", "The request body is empty; send a JSON object.")
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || mediaType != "application/json" {
		return fault.New(fault.UnsupportedMedia, "unsupported_media_type",
			"Send the body as JSON with the header 'Content-Type: application/json'.")
	}
	return nil
}

// readObject reads a body that is one JSON object in valid UTF-8.
func readObject(r *http.Request) ([]byte, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, ReadFault(err)
	}
	if err := checkSaysJSON(r, data); err != nil {
		return nil, err
	}
	if rawjson.Valid(data) && utf8.Valid(data) && gjson.ParseBytes(data).IsObject() {
		return data, nil
	}
	if _, err := objectMembers(data); err != nil { // says where the mistake is
		return nil, err
	}
	return nil, fault.New(fault.Malformed, "malformed_json", "The request body is nested too deep.")
}

// readBody reads a body to its end. It believes a declared length only so far.
func readBody(r *http.Request) ([]byte, error) {
	var data bytes.Buffer
	data.Grow(int(min(max(r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	_, err := data.ReadFrom(r.Body)
	return data.Bytes(), err
}

func (b *binder) fieldNames() string {
	return strings.Join(slices.Sorted(maps.Keys(b.body)), ", ")
}

// objectMembers parses data as exactly one JSON object in valid UTF-8.
func objectMembers(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, fault.New(fault.Malformed, "malformed_json", "The request body is not valid UTF-8.")
	}
	var members map[string]json.RawMessage
	err := json.Unmarshal(data, &members)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fault.New(fault.Malformed, "malformed_json",
			fmt.Sprintf("The request body is not valid JSON: mistake near byte %d. Names and texts stand in double quotes; in a shell, put the whole body in single quotes.", syntax.Offset))
	case err != nil, members == nil:
		return nil, fault.New(fault.Malformed, "malformed_json", "The request body must be one JSON object.")
	}
	return members, nil
}

func setJSON(fields *fault.Fields, in input, target reflect.Value, value json.RawMessage) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	if !in.lenient { // nested objects are read as strictly as the outer one
		decoder.DisallowUnknownFields()
	}
	err := decoder.Decode(target.Addr().Interface())
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		name := in.name
		if wrongType.Field != "" {
			name += "." + wrongType.Field
		}
		fields.Add(name, "wrong_type", "must be "+typeName(wrongType.Type)+", not "+wrongType.Value)
	case err != nil:
		fields.Add(in.name, "invalid", "is not acceptable: expected "+typeName(in.typ))
	case holdsNUL(target):
		fields.Add(in.name, "invalid_character", "must not contain the character U+0000")
	}
}

func holdsNUL(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return false
		}
		v = v.Elem()
	}
	return v.Kind() == reflect.String && strings.ContainsRune(v.String(), 0)
}

// setText reads a path or query value.
func setText(fields *fault.Fields, in input, target reflect.Value, text string) {
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	var err error
	switch {
	case target.Type() == reflect.TypeFor[time.Time]():
		var at time.Time
		at, err = time.Parse(time.RFC3339Nano, text)
		target.Set(reflect.ValueOf(at.UTC()))
	case target.Kind() == reflect.String:
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			fields.Add(in.name, "invalid_character", "must be valid UTF-8 without U+0000")
			return
		}
		target.SetString(text)
	case target.CanInt():
		var n int64
		n, err = strconv.ParseInt(text, 10, target.Type().Bits())
		target.SetInt(n)
	case target.Kind() == reflect.Bool:
		var yes bool
		yes, err = strconv.ParseBool(text)
		target.SetBool(yes)
	default:
		panic("web: cannot read " + in.typ.String() + " from a URL")
	}
	if err != nil {
		fields.Add(in.name, "wrong_type", "must be "+typeName(target.Type()))
	}
}

func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "a time such as 2026-01-31T12:00:00Z"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return "a number"
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return "an array"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "an object"
	default:
		return "a whole number"
	}
}

// ReadFault names why a request body could not be read.
func ReadFault(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fault.New(fault.TooLarge, "body_too_large",
			fmt.Sprintf("The request body is larger than the %d bytes this route accepts.", tooLarge.Limit))
	}
	return fault.Wrap(err, fault.Malformed, "body_unreadable", "The request body did not arrive completely.")
}
