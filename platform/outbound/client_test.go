package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

const key = "sk-never-to-be-seen"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func call(t *testing.T, ctx context.Context, limits outbound.Limits, answer http.HandlerFunc) ([]byte, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	client := outbound.New("acme", limits)
	defer client.Close()
	request, err := http.NewRequest("POST", server.URL+"/secret-prompt", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := client.Do(ctx, request)
	if err != nil {
		return nil, err
	}
	return client.ReadAll(response)
}

func TestEveryBadStatusSaysWhoHasToAct(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		header string
		kind   fault.Kind
		code   string
		retry  time.Duration
	}{
		"key refused, and echoed":   {401, `{"error":{"message":"bad key ` + key + `","code":"` + key + ` "}}`, "", fault.BadUpstream, "provider_credentials_refused", 0},
		"no credit":                 {402, `{"success":false,"error":{"code":"PAYMENT_REQUIRED"}}`, "", fault.BadUpstream, "provider_out_of_credit", 0},
		"quota used up, not a rate": {429, `{"error":{"code":"insufficient_quota"}}`, "5", fault.BadUpstream, "provider_out_of_credit", 0},
		"forbidden":                 {403, ``, "", fault.BadUpstream, "provider_forbidden", 0},
		"no such model":             {404, `{"error":"no"}`, "", fault.BadUpstream, "provider_model_not_found", 0},
		"retired":                   {410, `{"error":{"code":"github_models_retirement_brownout"}}`, "", fault.BadUpstream, "provider_retired", 0},
		"too large":                 {413, ``, "", fault.TooLarge, "provider_input_too_large", 0},
		"input refused":             {400, `{"error":{"code":400}}`, "", fault.Invalid, "provider_refused_input", 0},
		"rate limited":              {429, `{"error":"Rate limit"}`, "7", fault.Unavailable, "provider_rate_limited", 7 * time.Second},
		"rate limited for days":     {429, ``, "172800", fault.Unavailable, "provider_rate_limited", time.Hour},
		"rate limited, no word":     {429, ``, "", fault.Unavailable, "provider_rate_limited", 0},
		"broken":                    {500, `<html>`, "", fault.Unavailable, "provider_unavailable", 0},
		"teapot":                    {418, ``, "", fault.BadUpstream, "provider_failed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			once := outbound.Limits{Policy: outbound.Policy{Retries: -1}}
			_, err := call(t, t.Context(), once, func(w http.ResponseWriter, _ *http.Request) {
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			var got *fault.Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Kind != test.kind || got.Code != test.code || got.RetryAfter != test.retry || got.Extra["provider"] != "acme" {
				t.Errorf("kind %v code %s retry %v extra %v", got.Kind, got.Code, got.RetryAfter, got.Extra)
			}
			if text := fmt.Sprintf("%v %+v", err, got); strings.Contains(text, key) || strings.Contains(text, "secret-prompt") {
				t.Errorf("leaks: %s", text)
			}
		})
	}
}

func TestDeadlines(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }
	begin := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, ".")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(5 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}
	for name, test := range map[string]struct {
		limits outbound.Limits
		answer http.HandlerFunc
	}{
		"no first byte":       {outbound.Limits{FirstByte: 50 * time.Millisecond}, hang},
		"silence in the body": {outbound.Limits{Idle: 50 * time.Millisecond}, begin},
		"a drip without end":  {outbound.Limits{Total: 100 * time.Millisecond}, drip},
		"no answer in total":  {outbound.Limits{Total: 50 * time.Millisecond}, hang},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := call(t, t.Context(), test.limits, test.answer); !fault.Is(err, fault.Timeout) || fault.CodeOf(err) != "provider_timeout" {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, answer := range map[string]http.HandlerFunc{"before": hang, "within": begin} {
		t.Run("the caller leaves "+name+" the answer", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := call(t, ctx, outbound.Limits{}, answer); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestABodyIsBounded(t *testing.T) {
	exactly := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, n)) }
	}
	if body, err := call(t, t.Context(), outbound.Limits{MaxBytes: 1000}, exactly(1000)); err != nil || len(body) != 1000 {
		t.Errorf("at the limit: %d bytes, %v", len(body), err)
	}
	if body, err := call(t, t.Context(), outbound.Limits{MaxBytes: 1000}, exactly(1001)); fault.CodeOf(err) != "provider_answer_too_large" || len(body) > 1000 {
		t.Errorf("beyond the limit: %d bytes, %v", len(body), err)
	}
}

func TestACutAnswerIsTheProvidersFault(t *testing.T) {
	_, err := call(t, t.Context(), outbound.Limits{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	if !fault.Is(err, fault.BadUpstream) || fault.CodeOf(err) != "provider_cut_off" {
		t.Errorf("got %v", err)
	}
}

func TestNoRedirectToAnotherHost(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	_, err := call(t, t.Context(), outbound.Limits{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if fault.CodeOf(err) != "provider_redirected" || reached {
		t.Errorf("reached %v: %v", reached, err)
	}
}

func TestAClosedPortIsUnavailable(t *testing.T) {
	server := httptest.NewServer(nil)
	address := server.URL
	server.Close()
	client := outbound.New("acme", outbound.Limits{})
	defer client.Close()
	request, _ := http.NewRequest("GET", address+"/secret-prompt", nil)
	_, err := client.Do(t.Context(), request)
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "secret-prompt") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoHTTPIsNotQuoted(t *testing.T) {
	for name, answer := range map[string]func(request *http.Request) string{
		"the request line": func(r *http.Request) string { return r.Method + " " + r.URL.Path + " HTTP/1.1\r\n\r\n" },
		"the key": func(r *http.Request) string {
			return "HTTP/1.1 200 OK\r\n" + r.Header.Get("Authorization") + "\r\n\r\n"
		},
		"a coding": func(*http.Request) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + key + "\r\n\r\n" },
	} {
		t.Run(name+" sent back", func(t *testing.T) {
			_, err := call(t, t.Context(), outbound.Limits{}, func(w http.ResponseWriter, r *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(connection, answer(r))
				_ = connection.Close()
			})
			if fault.CodeOf(err) != "provider_unavailable" {
				t.Errorf("%v", err)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if text := cause.Error(); strings.Contains(text, key) || strings.Contains(text, "secret-prompt") {
					t.Errorf("told: %s", text)
				}
			}
		})
	}
}
