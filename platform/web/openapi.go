package web

import (
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// About describes the API as a whole.
type About struct {
	Title, Version, Description, ServerURL string
}

func init() { huma.DefaultArrayNullable = false } // a list is never null

var echoParam = regexp.MustCompile(`:([a-z_]+)|\*`)

// OpenAPI returns the OpenAPI 3.1 document of every route that is not Hidden,
// made from the types the handlers take and return.
func (r *Router) OpenAPI(about About) *huma.OpenAPI {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	document := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: about.Title, Version: about.Version, Description: about.Description,
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: about.ServerURL}},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas: registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "An access token of POST /auth/login or an API key that starts with llmh_."},
			},
		},
	}
	problem := registry.Schema(reflect.TypeFor[Problem](), true, "Problem")
	registry.SchemaFromRef(problem.Ref).AdditionalProperties = true // extension members, RFC 9457 section 3.2
	openAI := registry.Schema(reflect.TypeFor[OpenAIError](), true, "OpenAIError")
	seen := map[string]bool{}
	for _, route := range r.routes {
		if route.Hidden {
			continue
		}
		if !seen[route.Tag] {
			seen[route.Tag] = true
			document.Tags = append(document.Tags, &huma.Tag{Name: route.Tag})
		}
		address := echoParam.ReplaceAllString(strings.Replace(route.Path, "*", ":key", 1), "{$1}")
		item := document.Paths[address]
		if item == nil {
			item = &huma.PathItem{}
			document.Paths[address] = item
		}
		failure := map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}
		if underOpenAI(route.Path) {
			failure = map[string]*huma.MediaType{"application/json": {Schema: openAI}}
		}
		setOperation(item, route.Method, operation(registry, route, failure))
	}
	return document
}

// schemaName names a type by its package and itself: image.generateRequest is
// ImageGenerateRequest.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return hint
	}
	name := strings.NewReplacer("[", "_", "]", "", "*", "", "/", "_", ".", "_").Replace(t.Name())
	return capital(path.Base(t.PkgPath())) + capital(name)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return string(unicode.ToUpper(rune(s[0]))) + s[1:]
}

func setOperation(item *huma.PathItem, method string, op *huma.Operation) {
	switch method {
	case http.MethodGet:
		item.Get = op
	case http.MethodPost:
		item.Post = op
	case http.MethodPut:
		item.Put = op
	case http.MethodPatch:
		item.Patch = op
	case http.MethodDelete:
		item.Delete = op
	default:
		panic("web: no place for method " + method + " in OpenAPI")
	}
}

func operation(registry huma.Registry, route *Route, failure map[string]*huma.MediaType) *huma.Operation {
	op := &huma.Operation{
		OperationID: operationID(route),
		Summary:     route.Summary,
		Description: describe(route),
		Tags:        []string{route.Tag},
		Responses:   map[string]*huma.Response{},
	}
	in := route.Handler.in
	op.Parameters = append(parameters(registry, in, in.path, "path"), parameters(registry, in, in.query, "query")...)
	if len(in.body) > 0 {
		op.RequestBody = &huma.RequestBody{
			Required: !in.bodyOptional,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(in.typ, true, "Request")}},
		}
	}
	for _, answer := range route.Handler.answers {
		addAnswer(op, strconv.Itoa(answer.Status), response(registry, answer))
	}
	for _, status := range errorStatuses(route) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     failure,
		}
	}
	switch route.Access {
	case Public:
		op.Security = []map[string][]string{}
	case Optional:
		op.Security = []map[string][]string{{}, {"bearer": {}}}
	default:
		op.Security = []map[string][]string{{"bearer": {}}}
	}
	return op
}

// addAnswer describes one more outcome; two of one status differ in their
// content type.
func addAnswer(op *huma.Operation, status string, answer *huma.Response) {
	existing := op.Responses[status]
	if existing == nil {
		op.Responses[status] = answer
		return
	}
	existing.Description += " " + answer.Description
	for contentType, media := range answer.Content {
		existing.Content[contentType] = media
	}
}

func operationID(route *Route) string {
	name := strings.NewReplacer("/", "-", ":", "", ".", "", "_", "-", "*", "key").Replace(strings.Trim(route.Path, "/"))
	return strings.ToLower(route.Method) + "-" + strings.Trim(name, "-")
}

func describe(route *Route) string {
	text := route.Description
	switch route.Access {
	case AdminOnly:
		text += "\n\nNeeds the admin role."
	case SignedIn:
		text += "\n\nNeeds sign-in."
	case Optional:
		text += "\n\nWorks signed in or anonymously."
	}
	if route.Limit != "" {
		text += "\n\nCounts against the request limit `" + route.Limit + "`; the RateLimit headers say what is left."
	}
	return strings.TrimSpace(text)
}

func response(registry huma.Registry, answer Answer) *huma.Response {
	description := answer.Description
	if description == "" {
		description = http.StatusText(answer.Status)
	}
	r := &huma.Response{Description: description}
	contentType := answer.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	if answer.Body != nil && answer.Body != reflect.TypeFor[[]byte]() {
		r.Content = map[string]*huma.MediaType{contentType: {Schema: registry.Schema(answer.Body, true, "Answer")}}
	} else if answer.ContentType != "" {
		r.Content = map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string"}}}
	}
	return r
}

// errorStatuses lists what a route can refuse with, in order.
func errorStatuses(route *Route) []int {
	set := map[int]bool{http.StatusInternalServerError: true}
	in := route.Handler.in
	if len(in.body) > 0 {
		for _, status := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity} {
			set[status] = true
		}
	}
	if len(in.query) > 0 {
		set[http.StatusUnprocessableEntity] = true
	}
	if len(in.path) > 0 {
		set[http.StatusNotFound] = true
	}
	if route.Access != Public {
		set[http.StatusUnauthorized] = true
	}
	if route.Access != Public || route.Method != http.MethodGet { // what they stand on may be away, or full
		set[http.StatusServiceUnavailable] = true
	}
	if route.Method != http.MethodGet {
		set[http.StatusInsufficientStorage] = true
	}
	if route.Access == AdminOnly {
		set[http.StatusForbidden] = true
	}
	if route.Limit != "" {
		set[http.StatusTooManyRequests] = true
	}
	for _, status := range route.Errors {
		set[status] = true
	}
	if underOpenAI(route.Path) {
		delete(set, http.StatusUnprocessableEntity) // it is a 400 there
	}
	list := []int{}
	for status := 400; status < 600; status++ {
		if set[status] {
			list = append(list, status)
		}
	}
	return list
}

func parameters(registry huma.Registry, in *binder, inputs []input, place string) []*huma.Param {
	list := []*huma.Param{}
	for _, one := range inputs {
		field := in.typ.FieldByIndex(one.index)
		schema := *huma.SchemaFromField(registry, field, "")
		schema.Nullable = false
		list = append(list, &huma.Param{
			Name: paramName(one.name), In: place, Required: place == "path",
			Description: field.Tag.Get("doc"), Schema: &schema,
		})
	}
	return list
}

func paramName(name string) string {
	if name == "*" {
		return "key"
	}
	return name
}
