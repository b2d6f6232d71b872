package operations

import (
	_ "embed"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.css
var docsCSS []byte

type docsData struct {
	Title, Version, Description, Server string
	Groups                              []docsGroup
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Paragraphs                []string
	Access                    string
	Parameters, Body          []docsField
	Responses                 []docsResponse
}

type docsField struct {
	Name, Place, Type, Description string
	Required                       bool
}

type docsResponse struct {
	Status, Description string
	ContentTypes        []string
	Fields              []docsField
}

// describeAPI puts what the page shows into its order.
func describeAPI(document *huma.OpenAPI) docsData {
	data := docsData{
		Title: document.Info.Title, Version: document.Info.Version,
		Description: document.Info.Description, Server: document.Servers[0].URL,
	}
	for _, tag := range document.Tags {
		data.Groups = append(data.Groups, docsGroup{Name: tag.Name, Operations: operationsOf(document, tag.Name)})
	}
	return data
}

func operationsOf(document *huma.OpenAPI, tag string) []docsOperation {
	list := []docsOperation{}
	for address, item := range document.Paths {
		for method, op := range map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		} {
			if op != nil && op.Tags[0] == tag {
				list = append(list, describeOperation(document, method, address, op))
			}
		}
	}
	order := map[string]int{"GET": 0, "POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Path != list[j].Path {
			return list[i].Path < list[j].Path
		}
		return order[list[i].Method] < order[list[j].Method]
	})
	return list
}

func describeOperation(document *huma.OpenAPI, method, address string, op *huma.Operation) docsOperation {
	described := docsOperation{ID: op.OperationID, Method: method, Path: address, Summary: op.Summary, Access: accessOf(op)}
	if op.Description != "" {
		described.Paragraphs = strings.Split(op.Description, "\n\n")
	}
	for _, parameter := range op.Parameters {
		described.Parameters = append(described.Parameters, docsField{
			Name: parameter.Name, Place: parameter.In, Type: typeOf(document, parameter.Schema),
			Description: sentence(parameter.Description, parameter.Schema), Required: parameter.Required,
		})
	}
	if op.RequestBody != nil {
		described.Body = fieldsOf(document, op.RequestBody.Content["application/json"].Schema)
	}
	for status, response := range op.Responses {
		one := docsResponse{Status: status, Description: response.Description}
		for contentType, media := range response.Content {
			one.ContentTypes = append(one.ContentTypes, contentType)
			if contentType == "application/json" {
				one.Fields = fieldsOf(document, media.Schema)
			}
		}
		sort.Strings(one.ContentTypes)
		described.Responses = append(described.Responses, one)
	}
	sort.Slice(described.Responses, func(i, j int) bool { return described.Responses[i].Status < described.Responses[j].Status })
	return described
}

func accessOf(op *huma.Operation) string {
	switch len(op.Security) {
	case 0:
		return "public"
	case 2:
		return "optional sign-in"
	default:
		return "sign-in"
	}
}

func resolve(document *huma.OpenAPI, schema *huma.Schema) *huma.Schema {
	for schema != nil && schema.Ref != "" {
		schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

func fieldsOf(document *huma.OpenAPI, schema *huma.Schema) []docsField {
	resolved := resolve(document, schema)
	required := map[string]bool{}
	for _, name := range resolved.Required {
		required[name] = true
	}
	list := []docsField{}
	for name, property := range resolved.Properties {
		list = append(list, docsField{
			Name: name, Type: typeOf(document, property), Description: sentence(property.Description, property), Required: required[name],
		})
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Required != list[j].Required {
			return list[i].Required
		}
		return list[i].Name < list[j].Name
	})
	return list
}

func typeOf(document *huma.OpenAPI, schema *huma.Schema) string {
	nullable := schema.Nullable
	resolved := resolve(document, schema)
	name := resolved.Type
	switch {
	case resolved.Type == "array" && resolved.Items != nil:
		name = "list of " + typeOf(document, resolved.Items)
	case schema.Ref != "":
		name = "object (" + strings.Join(propertyNames(resolved), ", ") + ")"
	case resolved.Format == "date-time":
		name = "time"
	case name == "":
		name = "any"
	}
	if nullable {
		name += " or null"
	}
	return name
}

func propertyNames(schema *huma.Schema) []string {
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// sentence joins a description with the limits of its schema.
func sentence(text string, schema *huma.Schema) string {
	parts := []string{}
	if text != "" {
		parts = append(parts, text)
	}
	if len(schema.Enum) > 0 {
		values := make([]string, 0, len(schema.Enum))
		for _, value := range schema.Enum {
			values = append(values, plain(value))
		}
		parts = append(parts, "One of "+strings.Join(values, ", ")+".")
	}
	if schema.Minimum != nil && schema.Maximum != nil {
		parts = append(parts, plain(*schema.Minimum)+" to "+plain(*schema.Maximum)+".")
	}
	if schema.MaxLength != nil {
		parts = append(parts, fmt.Sprintf("At most %d characters.", *schema.MaxLength))
	}
	if schema.Default != nil {
		parts = append(parts, "Default "+plain(schema.Default)+".")
	}
	return strings.Join(parts, " ")
}

// plain writes a value as a reader expects it: what a pointer points to, and
// numbers without exponents.
func plain(value any) string {
	v := reflect.ValueOf(value)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.CanFloat() {
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}
