package web

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Conforms checks an answer against what the document promises for the
// operation: a described status and content type, and for JSON a body of the
// described shape. Tests hold every answer they see against it.
func Conforms(document *huma.OpenAPI, op *huma.Operation, status int, contentType string, body []byte) error {
	promised, ok := op.Responses[strconv.Itoa(status)]
	if !ok {
		return fmt.Errorf("%s: status %d is not described", op.OperationID, status)
	}
	if len(promised.Content) == 0 {
		if len(body) > 0 && status != 302 {
			return fmt.Errorf("%s: status %d is described without a body", op.OperationID, status)
		}
		return nil
	}
	kind, _, _ := strings.Cut(contentType, ";")
	media, ok := promised.Content[kind]
	if !ok {
		return fmt.Errorf("%s: status %d with content type %q is not described", op.OperationID, status, kind)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("%s: status %d: body is not JSON: %w", op.OperationID, status, err)
	}
	result := &huma.ValidateResult{}
	huma.Validate(document.Components.Schemas, media.Schema, huma.NewPathBuffer([]byte("body"), 4), huma.ModeReadFromServer, value, result)
	if len(result.Errors) > 0 {
		return fmt.Errorf("%s: status %d: %v", op.OperationID, status, result.Errors)
	}
	return nil
}
