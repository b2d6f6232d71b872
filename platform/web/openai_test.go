package web_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// mountOpenAI adds a route below /v1 that answers with the text it is sent, or
// fails in the way the text names.
func mountOpenAI(router *web.Router) {
	failures := map[string]error{
		"unpaid": fault.New(fault.PaymentRequired, "budget_used_up", "The budget is used up."),
		"soon":   &fault.Error{Kind: fault.RateLimited, Code: "rate_limited", Detail: "Wait.", RetryAfter: 1500 * time.Millisecond},
		"later":  &fault.Error{Kind: fault.RateLimited, Code: "quota_exceeded", Detail: "Wait.", RetryAfter: time.Hour},
	}
	router.Add(web.Route{Method: http.MethodPost, Path: "/v1/things", Tag: "Test",
		Handler: web.JSON(http.StatusOK, func(_ context.Context, in everything) (seen, error) {
			if in.Text == "panic" {
				panic("secret")
			}
			return seen{Text: in.Text}, failures[in.Text]
		}).Lenient()})
}

func TestBelowV1ErrorsAreThoseOfOpenAI(t *testing.T) {
	server := testkit.Serve(t, mountOpenAI)
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		code, kind         string
		param              any
		header             map[string]string
	}{
		"a wrong type is a 400":         {"POST", "/v1/things", `{"text":1}`, 400, "validation_failed", "invalid_request_error", "text", nil},
		"broken JSON":                   {"POST", "/v1/things", `{`, 400, "malformed_json", "invalid_request_error", nil, nil},
		"an unknown address":            {"POST", "/v1/nothing", `{}`, 404, "not_found", "invalid_request_error", nil, nil},
		"a wrong method":                {"GET", "/v1/things", "", 405, "method_not_allowed", "invalid_request_error", nil, map[string]string{"Allow": "OPTIONS, POST"}},
		"a panic":                       {"POST", "/v1/things", `{"text":"panic"}`, 500, "internal", "server_error", nil, nil},
		"a limit that passes soon":      {"POST", "/v1/things", `{"text":"soon"}`, 429, "rate_limited", "rate_limit_error", nil, map[string]string{"Retry-After": "2", "X-Should-Retry": ""}},
		"a limit that lasts":            {"POST", "/v1/things", `{"text":"later"}`, 429, "quota_exceeded", "rate_limit_error", nil, map[string]string{"Retry-After": "60", "X-Should-Retry": "false"}},
		"a budget that is used up":      {"POST", "/v1/things", `{"text":"unpaid"}`, 402, "budget_used_up", "invalid_request_error", nil, map[string]string{"X-Should-Retry": "false"}},
		"a body larger than the limit":  {"POST", "/v1/things", `{"text":"` + string(make([]byte, 1<<20)) + `"}`, 413, "body_too_large", "invalid_request_error", nil, nil},
		"the slash at the end is taken": {"POST", "/v1/things/", `{"text":1}`, 400, "validation_failed", "invalid_request_error", "text", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var body any
			if test.body != "" {
				body = test.body
			}
			answer := server.Do(test.method, test.path, testkit.Nobody, body)
			problem, _ := answer.JSON(t)["error"].(map[string]any)
			if answer.Status != test.status || problem["code"] != test.code || problem["type"] != test.kind || problem["param"] != test.param {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			if answer.Header.Get("Content-Type") != "application/json" {
				t.Errorf("content type %q", answer.Header.Get("Content-Type"))
			}
			for key, want := range test.header {
				if got := answer.Header.Get(key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestBelowV1UnknownFieldsAreIgnored(t *testing.T) {
	server := testkit.Serve(t, mountOpenAI)
	answer := server.Do("POST", "/v1/things", testkit.Nobody, `{"text":"a","nested":{"depth":1,"deep":2},"added_next_year":{"x":[1]}}`)
	if answer.Status != 200 || answer.JSON(t)["text"] != "a" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}
