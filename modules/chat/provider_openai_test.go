package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
)

const testKey = "sk-very-secret-key"

// upstream is a fake service and the client that asks it.
func upstream(t testing.TB, serve http.HandlerFunc) *openAI {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	client := newOpenAI(Upstream{
		Name: "fake", BaseURL: server.URL + "/v1/", APIKey: testKey, DefaultModel: "demo-1",
		Limits: outbound.Policy{MaxRetryAfter: -1}, // nobody waits for as long as a test says
	})
	t.Cleanup(client.Close)
	return client
}

// replay answers every request with one recorded answer.
func replay(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// cut is an answer of 200 that breaks off after body.
func cut(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func collect(ctx context.Context, p Provider, request Request) (string, Result, error) {
	var b strings.Builder
	result, err := p.Answer(ctx, request, func(text string) error {
		b.WriteString(text)
		return nil
	})
	return b.String(), result, err
}

func hello(stream bool) Request {
	return Request{Model: "demo-1", Stream: stream, Messages: []PromptMessage{{Role: roleSystem, Content: "be <brief>"}, {Role: roleUser, Content: "hi"}}}
}

const (
	jsonType = "application/json; charset=utf-8"
	sseType  = "text/event-stream; charset=utf-8"
)

func chunk(text string) string {
	return fmt.Sprintf("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"xx\"}\n\n", text)
}

const (
	stopChunk  = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	usageChunk = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n"
	doneEvent  = "data: [DONE]\n\n"
)

func TestAnAnswerIsReadInEveryShapeItComesIn(t *testing.T) {
	counted := Result{FinishReason: "stop", InputTokens: 9, OutputTokens: 2, Counted: true}
	stopped := Result{FinishReason: "stop"}
	wholeAnswer := `{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi!","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`
	cases := map[string]struct {
		serve  http.HandlerFunc
		text   string
		result Result
	}{
		"JSON":                       {replay(200, jsonType, wholeAnswer), "Hi!", counted},
		"JSON without usage":         {replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"},"finish_reason":"length"}]}`), "Hi!", Result{FinishReason: "length"}},
		"JSON without a reason":      {replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`), "Hi!", stopped},
		"JSON with content in parts": {replay(200, jsonType, `{"choices":[{"message":{"content":[{"type":"text","text":"Hi"},{"type":"text","text":"!"}]}}]}`), "Hi!", stopped},
		"JSON with a refusal":        {replay(200, jsonType, `{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}`), "No.", stopped},
		"JSON with thoughts apart":   {replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!","reasoning_content":"hm","reasoning":"hm"},"finish_reason":"stop"}]}`), "Hi!", stopped},
		"JSON with an empty answer":  {replay(200, jsonType, `{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}],"error":null}`), "", Result{FinishReason: "content_filter"}},
		"a stream":                   {replay(200, sseType, chunk("")+chunk("Hi")+chunk("!")+stopChunk+usageChunk+doneEvent), "Hi!", counted},
		"usage in the last choice": {replay(200, sseType, chunk("Hi!")+"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n"+doneEvent),
			"Hi!", counted},
		"a stream without usage":        {replay(200, sseType, chunk("Hi!")+stopChunk+doneEvent), "Hi!", stopped},
		"a stream without [DONE]":       {replay(200, sseType, chunk("Hi!")+stopChunk), "Hi!", stopped},
		"[DONE] without a blank line":   {replay(200, sseType, chunk("Hi!")+"data: [DONE]"), "Hi!", stopped},
		"[DONE] with spaces":            {replay(200, sseType, chunk("Hi!")+"data:  [DONE] \n\n"), "Hi!", stopped},
		"[DONE] twice":                  {replay(200, sseType, chunk("Hi!")+stopChunk+doneEvent+doneEvent), "Hi!", stopped},
		"a cut after the reason":        {cut(sseType, chunk("Hi!")+stopChunk), "Hi!", stopped},
		"pings and CRLF":                {replay(200, sseType, ": ping\r\n\r\n"+strings.ReplaceAll(chunk("Hi!")+stopChunk+doneEvent, "\n", "\r\n")), "Hi!", stopped},
		"thoughts in the stream":        {replay(200, sseType, "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"+chunk("Hi!")+stopChunk+doneEvent), "Hi!", stopped},
		"a first chunk of filters":      {replay(200, sseType, "data: {\"choices\":[],\"prompt_filter_results\":[{}]}\n\n"+chunk("Hi!")+stopChunk+doneEvent), "Hi!", stopped},
		"another choice is not ours":    {replay(200, sseType, chunk("Hi!")+"data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n"+stopChunk+doneEvent), "Hi!", stopped},
		"an empty data line":            {replay(200, sseType, "data:\n\n"+chunk("Hi!")+stopChunk+doneEvent), "Hi!", stopped},
		"a reason that is none":         {replay(200, sseType, chunk("Hi!")+"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"<b>!</b>\"}]}\n\n"+doneEvent), "Hi!", stopped},
		"usage of nothing is no figure": {replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}`), "Hi!", stopped},
		"negative usage is not counted": {replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}],"usage":{"prompt_tokens":-1,"completion_tokens":5}}`), "Hi!", stopped},
	}
	for name, c := range cases {
		for _, asked := range []bool{true, false} { // a server that knows one way only answers both alike
			t.Run(fmt.Sprintf("%s, stream asked %v", name, asked), func(t *testing.T) {
				text, result, err := collect(t.Context(), upstream(t, c.serve), hello(asked))
				if err != nil || text != c.text {
					t.Fatalf("%q, %v", text, err)
				}
				if diff := cmp.Diff(c.result, result); diff != "" {
					t.Fatal(diff)
				}
			})
		}
	}
}

func TestABadAnswerIsAFaultThatKeepsWhatCame(t *testing.T) {
	key := `{"error":{"message":"Incorrect API key provided: ` + testKey + `","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`
	coded := func(code string) string {
		return `{"error":{"message":"secret words","type":"x","param":null,"code":"` + code + `"}}`
	}
	errorEvent := func(data string) string { return chunk("Hi") + "data: " + data + "\n\n" }
	huge := "data: " + strings.Repeat("x", 2<<20) + "\n\n"
	cases := map[string]struct {
		serve http.HandlerFunc
		text  string
		kind  fault.Kind
		code  string
		wait  time.Duration
	}{
		"a cut stream":                   {cut(sseType, chunk("Hi")), "Hi", fault.BadUpstream, "provider_cut_off", 0},
		"a stream that ends too early":   {replay(200, sseType, chunk("Hi")), "Hi", fault.BadUpstream, "provider_cut_off", 0},
		"a stream of nothing":            {replay(200, sseType, ""), "", fault.BadUpstream, "provider_cut_off", 0},
		"a cut JSON answer":              {cut(jsonType, `{"choices":[{"mess`), "", fault.BadUpstream, "provider_cut_off", 0},
		"garbage as JSON":                {replay(200, jsonType, "\x00\x01garbage"), "", fault.BadUpstream, "provider_bad_answer", 0},
		"garbage in a stream":            {replay(200, sseType, chunk("Hi")+"data: {nonsense\n\n"), "Hi", fault.BadUpstream, "provider_bad_answer", 0},
		"JSON of another kind":           {replay(200, jsonType, `{"models":[]}`), "", fault.BadUpstream, "provider_bad_answer", 0},
		"JSON with a wrong type":         {replay(200, jsonType, `{"choices":"none"}`), "", fault.BadUpstream, "provider_bad_answer", 0},
		"HTML with status 200":           {replay(200, "text/html", "<html>login</html>"), "", fault.BadUpstream, "provider_bad_answer", 0},
		"NDJSON":                         {replay(200, "application/x-ndjson", `{"message":{}}`), "", fault.BadUpstream, "provider_bad_answer", 0},
		"an event above the limit":       {replay(200, sseType, chunk("Hi")+huge), "Hi", fault.BadUpstream, "provider_answer_too_large", 0},
		"a JSON answer above the limit":  {replay(200, jsonType, `{"choices":[{"message":{"content":"`+strings.Repeat("x", maxWholeAnswer)+`"}}]}`), "", fault.BadUpstream, "provider_answer_too_large", 0},
		"an error with status 200":       {replay(200, jsonType, coded("server_error")), "", fault.Unavailable, "provider_unavailable", 0},
		"an error in the stream":         {replay(200, sseType, errorEvent(coded("server_error"))), "Hi", fault.Unavailable, "provider_unavailable", 0},
		"an error event":                 {replay(200, sseType, chunk("Hi")+"event: error\ndata: {\"message\":\"secret words\"}\n\n"), "Hi", fault.Unavailable, "provider_unavailable", 0},
		"an error event that is no JSON": {replay(200, sseType, chunk("Hi")+"event: error\ndata: secret words\n\n"), "Hi", fault.Unavailable, "provider_unavailable", 0},
		"an error that is a string":      {replay(200, sseType, errorEvent(`{"error":"secret words"}`)), "Hi", fault.Unavailable, "provider_unavailable", 0},
		"a numeric code in the stream":   {replay(200, sseType, errorEvent(`{"error":{"code":413,"message":"secret words"}}`)), "Hi", fault.TooLarge, "provider_input_too_large", 0},
		"no credit, said in the stream":  {replay(200, sseType, errorEvent(coded("insufficient_quota"))), "Hi", fault.BadUpstream, "provider_out_of_credit", 0},
		"too fast, said in the stream":   {replay(200, sseType, errorEvent(coded("rate_limit_exceeded"))), "Hi", fault.Unavailable, "provider_rate_limited", 0},
		"too long, said in the stream":   {replay(200, sseType, errorEvent(coded("context_length_exceeded"))), "Hi", fault.Invalid, "provider_refused_input", 0},
		"400":                            {replay(400, jsonType, coded("context_length_exceeded")), "", fault.Invalid, "provider_refused_input", 0},
		"401 that quotes the key":        {replay(401, jsonType, key), "", fault.BadUpstream, "provider_credentials_refused", 0},
		"the key quoted in the stream":   {replay(200, sseType, errorEvent(key)), "Hi", fault.BadUpstream, "provider_credentials_refused", 0},
		"402":                            {replay(402, jsonType, coded("x")), "", fault.BadUpstream, "provider_out_of_credit", 0},
		"404":                            {replay(404, jsonType, coded("model_not_found")), "", fault.BadUpstream, "provider_model_not_found", 0},
		"410":                            {replay(410, jsonType, coded("gone")), "", fault.BadUpstream, "provider_retired", 0},
		"413":                            {replay(413, jsonType, coded("tokens_limit_reached")), "", fault.TooLarge, "provider_input_too_large", 0},
		"429 with a time":                {replay(429, jsonType, coded("rate_limit_exceeded"), "Retry-After", "7"), "", fault.Unavailable, "provider_rate_limited", 7 * time.Second},
		"429 without one":                {replay(429, "text/plain", "secret words"), "", fault.Unavailable, "provider_rate_limited", 0},
		"429 with a very long time":      {replay(429, jsonType, coded("RateLimitReached"), "Retry-After", "86400"), "", fault.Unavailable, "provider_rate_limited", time.Hour},
		"429 that is about money":        {replay(429, jsonType, coded("insufficient_quota"), "Retry-After", "7"), "", fault.BadUpstream, "provider_out_of_credit", 0},
		"500 with a page":                {replay(500, "text/html", "<html>secret words</html>"), "", fault.Unavailable, "provider_unavailable", 0},
		"503 with a time":                {replay(503, jsonType, `{"error":{"code":503,"message":"Loading model"}}`, "Retry-After", "2"), "", fault.Unavailable, "provider_unavailable", 2 * time.Second},
		"a redirect to another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.invalid/", http.StatusTemporaryRedirect)
		}, "", fault.BadUpstream, "provider_redirected", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			text, _, err := collect(t.Context(), upstream(t, c.serve), hello(true))
			f := wantFault(t, err, c.kind, c.code)
			if text != c.text || f.RetryAfter != c.wait {
				t.Fatalf("kept %q, wait %v", text, f.RetryAfter)
			}
			if said := err.Error(); strings.Contains(said, testKey) || strings.Contains(said, "secret words") || !strings.Contains(said, `"fake"`) {
				t.Fatalf("the error is %q", said)
			}
		})
	}
}

func TestARequestCarriesTheProtocolAndNothingMore(t *testing.T) {
	var header http.Header
	var path string
	var body map[string]any
	client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		header, path = r.Header.Clone(), r.URL.RequestURI()
		_ = json.NewDecoder(r.Body).Decode(&body)
		replay(200, sseType, chunk("Hi")+doneEvent)(w, r)
	})
	warm := 0.0
	request := hello(true)
	request.Temperature, request.MaxTokens = &warm, 50
	_, _, err := collect(identity.WithRequestID(t.Context(), "request-1"), client, request)
	must(t, err)
	want := map[string]any{
		"model": "demo-1", "stream": true, "stream_options": map[string]any{"include_usage": true}, "temperature": 0.0, "max_tokens": 50.0,
		"messages": []any{map[string]any{"role": "system", "content": "be <brief>"}, map[string]any{"role": "user", "content": "hi"}},
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Fatal(diff)
	}
	if path != "/v1/chat/completions" || header.Get("Authorization") != "Bearer "+testKey || header.Get("X-Request-Id") != "request-1" ||
		header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %v", path, header)
	}
}

func TestAParameterTheModelRefusesIsLeftOut(t *testing.T) {
	var bodies []map[string]any
	refuse := func(param string) string {
		return `{"error":{"message":"Unsupported","type":"invalid_request_error","param":"` + param + `","code":"unsupported_parameter"}}`
	}
	client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		bodies = append(bodies, body)
		for _, param := range []string{"temperature", "max_tokens", "stream_options"} {
			if _, there := body[param]; there {
				replay(400, jsonType, refuse(param))(w, r)
				return
			}
		}
		replay(200, sseType, chunk("Hi")+doneEvent)(w, r)
	})
	warm := 1.0
	request := hello(true)
	request.Temperature, request.MaxTokens = &warm, 50
	text, _, err := collect(t.Context(), client, request)
	if err != nil || text != "Hi" || len(bodies) != 4 {
		t.Fatalf("%q, %v after %d requests", text, err, len(bodies))
	}
	last := bodies[3]
	if last["max_completion_tokens"] != 50.0 || last["temperature"] != nil || last["stream_options"] != nil {
		t.Fatalf("%v", last)
	}
	t.Run("but only once", func(t *testing.T) {
		calls := 0
		stubborn := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			calls++
			replay(400, jsonType, refuse("temperature"))(w, r)
		})
		_, _, err := collect(t.Context(), stubborn, request)
		wantFault(t, err, fault.Invalid, "provider_refused_input")
		if calls != 2 {
			t.Fatalf("%d calls", calls)
		}
	})
}

func TestCharactersCutBetweenTwoReadsStayWhole(t *testing.T) {
	stream := chunk("🦊漢é") + stopChunk + doneEvent
	stream = strings.Replace(stream, `\U0001f98a`, "🦊", 1)
	client := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sseType)
		for i := range len(stream) {
			_, _ = w.Write([]byte{stream[i]})
			_ = http.NewResponseController(w).Flush()
		}
	})
	text, _, err := collect(t.Context(), client, hello(true))
	if err != nil || text != "🦊漢é" {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestACallerThatLeavesStopsTheProviderAtOnce(t *testing.T) {
	for name, contentType := range map[string]string{"a slow stream": sseType, "a slow JSON answer": jsonType} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			left := make(chan struct{})
			client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", contentType)
				_, _ = io.WriteString(w, chunk("Hi"))
				_ = http.NewResponseController(w).Flush()
				cancel()
				<-r.Context().Done()
				close(left)
			})
			_, _, err := collect(ctx, client, hello(true))
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			within(t, "the provider hears of it", left)
		})
	}
	t.Run("an emit that refuses", func(t *testing.T) {
		left, gone := make(chan struct{}), errors.New("gone")
		client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", sseType)
			_, _ = io.WriteString(w, chunk("Hi"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(left)
		})
		_, err := client.Answer(t.Context(), hello(true), func(string) error { return gone })
		if !errors.Is(err, gone) {
			t.Fatalf("got %v", err)
		}
		within(t, "the provider hears of it", left)
	})
}

func TestASilentProviderIsATimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", sseType)
		_, _ = io.WriteString(w, chunk("Hi"))
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	client := newOpenAI(Upstream{Name: "fake", BaseURL: server.URL, DefaultModel: "m", Timeouts: outbound.Timeouts{Idle: 30 * time.Millisecond}})
	t.Cleanup(client.Close)
	text, _, err := collect(t.Context(), client, hello(true))
	wantFault(t, err, fault.Timeout, "provider_timeout")
	if text != "Hi" {
		t.Fatalf("kept %q", text)
	}
}

func TestAFinishedStreamLeavesItsConnectionToTheNext(t *testing.T) {
	peers := map[string]bool{}
	client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		peers[r.RemoteAddr] = true
		replay(200, sseType, chunk("Hi")+stopChunk+doneEvent)(w, r)
	})
	for range 5 {
		if _, _, err := collect(t.Context(), client, hello(true)); err != nil {
			t.Fatal(err)
		}
	}
	if len(peers) != 1 {
		t.Fatalf("%d connections for 5 answers", len(peers))
	}
}

func TestTheGitHubPresetSpeaksItsProtocolAndNamesTheReplacement(t *testing.T) {
	var header http.Header
	retired := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		if retired {
			replay(410, jsonType, `{"error":{"code":"github_models_retirement_brownout","message":"temporarily unavailable"}}`)(w, r)
			return
		}
		replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"},"finish_reason":"stop"}]}`)(w, r)
	}))
	t.Cleanup(server.Close)
	list, err := Config{GitHub: GitHub{Token: testKey, APIBase: server.URL}}.providers(nil)
	must(t, err)
	client, ok := list[0].(*openAI)
	if !ok || client.Name() != "github" {
		t.Fatalf("%+v", list)
	}
	t.Cleanup(client.Close)
	text, _, err := collect(t.Context(), client, hello(false))
	if err != nil || text != "Hi!" || header.Get("Accept") != "application/vnd.github+json" || header.Get("X-GitHub-Api-Version") != "2022-11-28" ||
		header.Get("Authorization") != "Bearer "+testKey {
		t.Fatalf("%q, %v, %v", text, err, header)
	}
	retired = true
	_, _, err = collect(t.Context(), client, hello(false))
	f := wantFault(t, err, fault.BadUpstream, "provider_retired")
	var upstream *outbound.Upstream
	if f.Detail != GitHubRetiredAdvice || f.Extra["provider"] != "github" || !errors.As(err, &upstream) || upstream.Status != 410 {
		t.Fatalf("%+v", f)
	}
}
