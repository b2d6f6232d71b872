package chat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/sse"
	"llmhist/platform/usage"
)

// open sends a streamed message and returns the answer and the end of it.
func (f *fixture) open(t testing.TB, ctx context.Context, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/chat", strings.NewReader(body))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(alice))
	response, err := f.Client().Do(request)
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

type event struct {
	Name string
	Data map[string]any
}

func next(t testing.TB, r *sse.Reader) event {
	t.Helper()
	e, err := r.Next()
	must(t, err)
	got := event{Name: e.Name}
	must(t, json.Unmarshal(e.Data, &got.Data))
	return got
}

func allEvents(t testing.TB, body io.Reader) []event {
	t.Helper()
	reader := sse.NewReader(body, 0)
	var list []event
	for {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		must(t, err)
		one := event{Name: e.Name}
		must(t, json.Unmarshal(e.Data, &one.Data))
		list = append(list, one)
	}
}

func TestAStreamIsStartDeltasAndDone(t *testing.T) {
	fake := httptest.NewServer(replay(200, sseType, chunk("Hel")+chunk("lo 🦊")+stopChunk+usageChunk+doneEvent))
	t.Cleanup(fake.Close)
	f := serve(t, Config{OpenAI: OpenAI{BaseURL: fake.URL, APIKey: testKey, DefaultModel: "demo-1"}})
	response := f.open(t, t.Context(), `{"message":"hi","stream":true}`)
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	events := allEvents(t, response.Body)
	stored := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	ids := map[string]any{"session_id": stored.SessionID, "message_id": stored.ID}
	want := []event{
		{"start", ids}, {"delta", map[string]any{"content": "Hel"}}, {"delta", map[string]any{"content": "lo 🦊"}},
		{"done", map[string]any{"session_id": stored.SessionID, "message_id": stored.ID, "role": "assistant", "content": "Hello 🦊", "model": "demo-1",
			"provider": "openai", "finish_reason": "stop", "tokens": map[string]any{"input": 9.0, "output": 2.0, "total": 11.0, "estimated": false},
			"created_at": "2026-11-23T10:00:00Z"}},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Fatal(diff)
	}
	if stored.Status != statusCompleted || stored.Content != "Hello 🦊" || stored.FinishedAt.IsZero() {
		t.Fatalf("%+v", stored)
	}
}

func TestAnEmptyAnswerIsStartAndDone(t *testing.T) {
	f := serve(t, Config{}, failing("one", nil))
	events := allEvents(t, f.open(t, t.Context(), `{"message":"hi","stream":true}`).Body)
	if len(events) != 2 || events[0].Name != "start" || events[1].Name != "done" || events[1].Data["content"] != "" {
		t.Fatalf("%+v", events)
	}
}

func TestAFailureBeforeTheFirstPieceHasItsOwnStatus(t *testing.T) {
	cases := map[string]struct {
		serve  http.HandlerFunc
		status int
		code   string
	}{
		"401":             {replay(401, jsonType, `{"error":{"message":"bad key `+testKey+`"}}`), 502, "provider_credentials_refused"},
		"429":             {replay(429, jsonType, `{}`, "Retry-After", "30"), 503, "provider_rate_limited"},
		"413":             {replay(413, jsonType, `{}`), 413, "provider_input_too_large"},
		"a page":          {replay(200, "text/html", "<html>"), 502, "provider_bad_answer"},
		"an early end":    {replay(200, sseType, ""), 502, "provider_cut_off"},
		"an error inside": {replay(200, sseType, "data: {\"error\":{\"message\":\"x\"}}\n\n"), 503, "provider_unavailable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fake := httptest.NewServer(c.serve)
			t.Cleanup(fake.Close)
			f := serve(t, Config{OpenAI: OpenAI{BaseURL: fake.URL, APIKey: testKey, DefaultModel: "demo-1"}})
			answer := f.Do("POST", "/chat", alice, `{"message":"hi","stream":true}`)
			if answer.Status != c.status || answer.Code() != c.code || answer.Header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("status %d: %s", answer.Status, answer.Body)
			}
			if strings.Contains(string(answer.Body), testKey) {
				t.Fatalf("the key is in %s", answer.Body)
			}
			stored := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
			if stored.Status != statusFailed || stored.ErrorCode != c.code || stored.Content != "" || stored.Tokens != (tokens{}) {
				t.Fatalf("%+v", stored)
			}
		})
	}
}

func TestAFailureAfterTheFirstPieceIsAnErrorEvent(t *testing.T) {
	fake := httptest.NewServer(cut(sseType, chunk("Hel")))
	t.Cleanup(fake.Close)
	f := serve(t, Config{OpenAI: OpenAI{BaseURL: fake.URL, APIKey: testKey, DefaultModel: "demo-1"}})
	events := allEvents(t, f.open(t, t.Context(), `{"message":"hi","stream":true}`).Body)
	stored := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	if len(events) != 3 || events[2].Name != "error" {
		t.Fatalf("%+v", events)
	}
	problem := events[2].Data
	if problem["status"] != 502.0 || problem["code"] != "provider_cut_off" || problem["instance"] != "/chat" || problem["message_id"] != stored.ID || problem["request_id"] == "" {
		t.Fatalf("%v", problem)
	}
	if stored.Status != statusFailed || stored.Content != "Hel" || stored.ErrorCode != "provider_cut_off" || !stored.Tokens.Estimated {
		t.Fatalf("%+v", stored)
	}
}

func TestAClientThatLeavesStopsTheProviderAndKeepsWhatCame(t *testing.T) {
	left := make(chan struct{})
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sseType)
		_, _ = io.WriteString(w, chunk("Half an ")+chunk("answer"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	}))
	t.Cleanup(fake.Close)
	f := serve(t, Config{OpenAI: OpenAI{BaseURL: fake.URL, APIKey: testKey, DefaultModel: "demo-1"}})
	ctx, leave := context.WithCancel(t.Context())
	reader := sse.NewReader(f.open(t, ctx, `{"message":"hi","stream":true}`).Body, 0)
	for _, want := range []string{"start", "delta", "delta"} {
		if e := next(t, reader); e.Name != want {
			t.Fatalf("%+v", e)
		}
	}
	id := f.onlySession(t, 1).ID
	if open := f.stored(t, 1, id)[1]; open.Status != statusProcessing {
		t.Fatalf("%+v", open)
	}
	leave()
	within(t, "the provider is stopped", left)
	eventually(t, "the answer is cancelled", func() bool { return f.stored(t, 1, id)[1].Status != statusProcessing })
	stored := f.stored(t, 1, id)[1]
	if stored.Status != statusCancelled || stored.Content != "Half an answer" || stored.ErrorCode != "cancelled" || !stored.Tokens.Estimated {
		t.Fatalf("%+v", stored)
	}
	if got := f.onlySession(t, 1); got.Tokens != stored.Tokens {
		t.Fatalf("%+v", got)
	}
	t.Run("which the next message builds upon", func(t *testing.T) {
		prompt, err := f.module.service.promptFor(t.Context(), begin(f.onlySession(t, 1), "go on", epoch), 0)
		if err != nil || said(prompt) != "u:hi a:Half an answer u:go on" {
			t.Fatalf("%s, %v", said(prompt), err)
		}
	})
}

func TestAClientThatLeavesBeforeThePieceIsCancelledToo(t *testing.T) {
	for _, stream := range []string{"true", "false"} {
		t.Run("stream "+stream, func(t *testing.T) {
			asked, left := make(chan struct{}), make(chan struct{})
			silent := &scripted{name: "one", models: []string{"m"}, answer: func(ctx context.Context, _ Request, _ func(string) error) (Result, error) {
				close(asked)
				<-ctx.Done()
				close(left)
				return Result{}, ctx.Err()
			}}
			f := serve(t, Config{}, silent, echoing("two", "never-asked"))
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				request, _ := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/chat", strings.NewReader(`{"message":"hi","stream":`+stream+`}`))
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Authorization", "Bearer "+string(alice))
				if response, err := f.Client().Do(request); err == nil {
					_ = response.Body.Close()
				}
			}()
			within(t, "the provider is asked", asked)
			leave()
			within(t, "the client is gone", gone)
			within(t, "the provider is stopped", left)
			id := f.onlySession(t, 1).ID
			eventually(t, "the answer is cancelled", func() bool { return f.stored(t, 1, id)[1].Status == statusCancelled })
			if got := f.stored(t, 1, id)[1]; got.Tokens != (tokens{}) || got.Provider != "one" {
				t.Fatalf("%+v", got)
			}
		})
	}
}

func TestAnAnswerThatTakesTooLongHasFailed(t *testing.T) {
	slow := &scripted{name: "one", models: []string{"m"}, answer: func(ctx context.Context, _ Request, emit func(string) error) (Result, error) {
		if err := emit("begun"); err != nil {
			return Result{}, err
		}
		<-ctx.Done()
		return Result{}, ctx.Err()
	}}
	f := serve(t, Config{}, slow)
	ctx, cancel := context.WithTimeout(identity.With(t.Context(), identity.Identity{UserID: 1}), time.Millisecond*50)
	defer cancel()
	_, err := f.module.service.sendMessage(ctx, f.place(t), ask{Message: "hi"}, nil)
	wantFault(t, err, fault.Timeout, "timeout")
	if got := f.stored(t, 1, f.onlySession(t, 1).ID)[1]; got.Status != statusFailed || got.ErrorCode != "timeout" || got.Content != "begun" {
		t.Fatalf("%+v", got)
	}
}

func TestAnAnswerThatTheServerCutsOffIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(identity.With(t.Context(), identity.Identity{UserID: 1}))
	slow := &scripted{name: "one", models: []string{"m"}, answer: func(ctx context.Context, _ Request, emit func(string) error) (Result, error) {
		if err := emit("begun"); err != nil {
			return Result{}, err
		}
		stop(errors.New("the server stops"))
		return Result{}, ctx.Err()
	}}
	f := serve(t, Config{}, slow)
	_, err := f.module.service.sendMessage(ctx, f.place(t), ask{Message: "hi"}, nil)
	wantFault(t, err, fault.Unavailable, codeInterrupted)
	if got := f.stored(t, 1, f.onlySession(t, 1).ID)[1]; got.Status != statusFailed || got.ErrorCode != codeInterrupted || got.Content != "begun" {
		t.Fatalf("%+v", got)
	}
}

func TestASessionDeletedDuringAnAnswerStaysDeleted(t *testing.T) {
	var f *fixture
	during := &scripted{name: "one", models: []string{"m"}, answer: func(_ context.Context, _ Request, emit func(string) error) (Result, error) {
		if err := f.module.EraseUser(context.Background(), 1); err != nil {
			return Result{}, err
		}
		return Result{FinishReason: "stop"}, emit("too late")
	}}
	f = serve(t, Config{}, during)
	answer := f.Do("POST", "/chat", alice, `{"message":"hi"}`)
	if answer.Status != 404 {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	if total := member(f.Do("GET", "/chat/sessions", alice, nil).JSON(t), "total"); total != "0" {
		t.Fatalf("%s sessions", total)
	}
}

// hasty is a repository in which somebody else is always faster to delete.
type hasty struct{ repository }

func (h hasty) DeleteSession(ctx context.Context, userID int64, id string) error {
	if err := h.repository.DeleteSession(ctx, userID, id); err != nil {
		return err
	}
	return h.repository.DeleteSession(ctx, userID, id)
}

func TestAnErasureGoesOnWhereSomebodyElseDeletes(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m"))
	f.say(t, alice, map[string]any{"message": "hi"})
	f.module.service.repository = hasty{f.module.service.repository}
	must(t, f.module.EraseUser(t.Context(), 1))
}

func TestWhatAnAnswerConsumedIsAccountedFor(t *testing.T) {
	cases := map[string]struct {
		provider *scripted
		want     usage.Figures
	}{
		"a counted answer": {echoing("one", "m"), usage.Figures{Provider: "one", Model: "m", InputTokens: 7, OutputTokens: 3, InputBytes: 5, OutputBytes: 9}},
		"an estimated one": {failing("one", nil, "12345678"), usage.Figures{Provider: "one", Model: "one-1", InputTokens: 9, OutputTokens: 2, Estimated: true, InputBytes: 5, OutputBytes: 8}},
		"a failed one":     {failing("one", errOverload), usage.Figures{Provider: "one", Model: "one-1", InputBytes: 5}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Config{}, c.provider)
			ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
			_, _ = f.module.service.sendMessage(ctx, f.place(t), ask{Message: "hello"}, nil) // the outcome is in the record
			got := record.Figures()
			if got.ObjectID != f.stored(t, 1, f.onlySession(t, 1).ID)[1].ID || got.FirstByte.IsZero() != (c.want.OutputBytes == 0) {
				t.Fatalf("%+v", got)
			}
			got.ObjectID, got.FirstByte = "", time.Time{}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}
