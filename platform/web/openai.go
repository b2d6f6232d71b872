package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
)

// openAIPrefix is where routes keep the conventions of OpenAI's API instead of
// this one's: its error object, 400 for every input that is not acceptable,
// unknown fields ignored.
const openAIPrefix = "/v1"

func underOpenAI(path string) bool {
	return path == openAIPrefix || strings.HasPrefix(path, openAIPrefix+"/")
}

// OpenAIError is the body of every error below /v1, in the shape that OpenAI's
// SDKs read (https://platform.openai.com/docs/guides/error-codes).
type OpenAIError struct {
	Error OpenAIErrorDetail `json:"error"`
}

// OpenAIErrorDetail says what happened.
type OpenAIErrorDetail struct {
	Message string  `json:"message" doc:"What happened and what to do next."`
	Type    string  `json:"type" enum:"invalid_request_error,rate_limit_error,server_error"`
	Param   *string `json:"param" doc:"The field that is wrong, if one is."`
	Code    string  `json:"code" doc:"Stable and machine-readable."`
}

// inOpenAITerms returns the fault that OpenAI's API has for f: an unknown model
// is something that does not exist there, not a bad value.
func inOpenAITerms(f *fault.Error) *fault.Error {
	for _, field := range f.Fields {
		if field.Code == "unknown_model" {
			return &fault.Error{
				Kind: fault.NotFound, Code: "model_not_found", Fields: []fault.Field{field}, Cause: f,
				Detail: "There is no such model here. GET /v1/models lists those that can be used.",
			}
		}
	}
	return f
}

// RenameFields gives the bad inputs that err names the names they have in
// another request. Other errors stay as they are.
func RenameFields(err error, names map[string]string) error {
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Fields) == 0 {
		return err
	}
	var fields fault.Fields
	for _, field := range f.Fields {
		if name, differs := names[field.Field]; differs {
			field.Field = name
		}
		fields.Add(field.Field, field.Code, field.Message)
	}
	return fields.Err()
}

// OpenAIErrorOf returns what an error becomes below /v1 once its answer has its
// status: an event in the middle of a stream.
func OpenAIErrorOf(err error) OpenAIError {
	f := inOpenAITerms(Fault(err))
	return openAIErrorOf(f, openAIStatus(f))
}

func openAIErrorOf(f *fault.Error, status int) OpenAIError {
	detail := OpenAIErrorDetail{Message: f.Detail, Type: "invalid_request_error", Code: f.Code}
	switch {
	case status == http.StatusTooManyRequests:
		detail.Type = "rate_limit_error"
	case status >= http.StatusInternalServerError:
		detail.Type = "server_error"
	}
	if len(f.Fields) > 0 {
		detail.Param = &f.Fields[0].Field
	}
	return OpenAIError{Error: detail}
}

// openAIStatus returns the status of a fault below /v1: the SDKs have a class of
// errors for 400, and expect it of every bad input.
func openAIStatus(f *fault.Error) int {
	if f.Kind == fault.Invalid {
		return http.StatusBadRequest
	}
	return statusOf[f.Kind]
}

// longestRetry is the longest pause the SDKs honour; a request that is refused
// for longer is not worth repeating.
const longestRetry = time.Minute

// setOpenAIRetry tells the SDKs whether and when to try again.
func setOpenAIRetry(header http.Header, f *fault.Error) {
	if f.Kind == fault.PaymentRequired || f.Final || f.RetryAfter > longestRetry {
		header.Set("X-Should-Retry", "false")
	}
	if f.RetryAfter > longestRetry {
		header.Set("Retry-After", strconv.Itoa(int(longestRetry.Seconds())))
	}
}

// trimSlash lets clients that add a slash to the base URL's paths find the
// routes below /v1.
func trimSlash(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if address := c.Request().URL; underOpenAI(address.Path) && strings.HasSuffix(address.Path, "/") {
			address.Path = strings.TrimRight(address.Path, "/")
			address.RawPath = strings.TrimRight(address.RawPath, "/")
		}
		return next(c)
	}
}
