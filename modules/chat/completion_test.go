package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/testkit"
)

// recorded is a fake service that remembers the bodies it was sent.
type recorded struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func (r *recorded) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies[len(r.bodies)-1]
}

// behind serves the module with a remote provider "fake" whose model is demo-1.
func behind(t testing.TB, config Config, answer http.HandlerFunc) (*fixture, *recorded) {
	t.Helper()
	up := &recorded{}
	up.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		up.mu.Lock()
		up.bodies = append(up.bodies, r.URL.Path+" "+string(body))
		up.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(up.Close)
	config.Upstreams = append(config.Upstreams, Upstream{Name: "fake", BaseURL: up.URL + "/v1", APIKey: testKey, DefaultModel: "demo-1"})
	return serve(t, config), up
}

const completions = "/v1/chat/completions"

func TestACompletionGoesThroughUnchangedAndIsKept(t *testing.T) {
	const answered = `{"id":"chatcmpl-7f","object":"chat.completion","model":"demo-1-2026","novel": {"a":[1 , 2]},` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":"Hi <b>!","annotations":[]},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"novel_details":{}}}`
	f, up := behind(t, Config{}, replay(200, jsonType, answered))
	answer := f.Do("POST", completions, alice, `{"seed": 1.50, "model":"fake/demo-1","messages":[{"role":"user","content":"hi <i>"}],"novel":{"b":[1 , 2]}}`)
	if answer.Status != 200 || string(answer.Body) != answered || answer.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v\n%s", answer.Status, answer.Header, answer.Body)
	}
	if want := `/v1/chat/completions {"seed": 1.50, "model":"demo-1","messages":[{"role":"user","content":"hi <i>"}],"novel":{"b":[1 , 2]}}`; up.last() != want {
		t.Errorf("sent %s", up.last())
	}
	of := f.onlySession(t, 1)
	kept := f.stored(t, 1, of.ID)
	if answer.Header.Get("Llmhist-Session") != of.ID || answer.Header.Get("Llmhist-Message") != kept[1].ID || answer.Header.Get("Llmhist-Provider") != "fake" {
		t.Errorf("headers %v", answer.Header)
	}
	if kept[0].Content != "hi <i>" || kept[0].Extra != `{"seed":1.50,"novel":{"b":[1 , 2]},"messages":[{"role":"user","content":"hi <i>"}]}` {
		t.Errorf("question %+v", kept[0])
	}
	if a := kept[1]; a.Content != "Hi <b>!" || a.Extra != "" || a.Status != statusCompleted || a.FinishReason != "stop" ||
		a.Tokens != (tokens{Input: 9, Output: 2}) || a.Provider != "fake" || a.Model != "demo-1" {
		t.Errorf("answer %+v", a)
	}
	shown, _ := f.Do("GET", "/chat/sessions/"+of.ID, alice, nil).JSON(t)["messages"].([]any)
	if seed := member(shown[0].(map[string]any), "extra.seed"); seed != "1.5" {
		t.Errorf("shown %v", shown[0])
	}
}

func TestAPlainCompletionIsKeptAsAMessageAlone(t *testing.T) {
	f, up := behind(t, Config{}, replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`))
	body := `{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"}],"stream":false}`
	f.Do("POST", completions, alice, body)
	if !strings.Contains(up.last(), `"model":"demo-1"`) {
		t.Errorf("sent %s", up.last())
	}
	of := f.onlySession(t, 1)
	kept := f.stored(t, 1, of.ID)
	if of.System != "be brief" || of.Title != "hi" || kept[0].Extra != "" || kept[1].Extra != "" || !kept[1].Tokens.Estimated {
		t.Errorf("%+v %+v", of, kept)
	}
}

func TestAConversationThatIsSentAgainGoesOnInItsSession(t *testing.T) {
	n := 0
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		n++
		replay(200, jsonType, fmt.Sprintf(`{"choices":[{"message":{"role":"assistant","content":"answer %d"}}]}`, n))(w, r)
	})
	say := func(as testkit.Caller, messages ...string) string {
		list := []string{`{"role":"system","content":"it is ` + time.Now().String() + `"}`}
		for i, text := range messages {
			list = append(list, fmt.Sprintf(`{"role":%q,"content":%q}`, []string{"user", "assistant"}[i%2], text))
		}
		answer := f.Do("POST", completions, as, `{"model":"demo-1","messages":[`+strings.Join(list, ",")+`]}`)
		if answer.Status != 200 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		return answer.Header.Get("Llmhist-Session")
	}
	first := say(alice, "one")
	if second := say(alice, "one", "answer 1", "two"); second != first {
		t.Error("the second request began a session")
	}
	if third := say(alice, "one", "answer 1", "two", "answer 2\n", "three"); third != first {
		t.Error("the third request began a session")
	}
	if other := say(alice, "one", "another answer", "two"); other == first {
		t.Error("another conversation went on in the session")
	}
	if foreign := say(bob, "one", "answer 1", "two"); foreign == first {
		t.Error("another user's conversation went on in the session")
	}
	var texts []string
	for _, m := range f.stored(t, 1, first) {
		texts = append(texts, m.Content)
	}
	if diff := cmp.Diff([]string{"one", "answer 1", "two", "answer 2", "three", "answer 3"}, texts); diff != "" {
		t.Error(diff)
	}
	if f.Do("DELETE", "/chat/sessions/"+first, alice, nil).Status != 204 {
		t.Fatal("not deleted")
	}
	if again := say(alice, "one", "answer 1", "two"); again == first || again == "" {
		t.Error("a deleted session went on")
	}
}

// stream sends a streamed completion and returns the lines of its answer.
func (f *fixture) stream(t testing.TB, body string) (*http.Response, string) {
	t.Helper()
	response := f.post(t, t.Context(), body)
	data, err := io.ReadAll(response.Body)
	must(t, err)
	return response, string(data)
}

func (f *fixture) post(t testing.TB, ctx context.Context, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+completions, strings.NewReader(body))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(alice))
	response, err := f.Client().Do(request)
	must(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestAStreamIsRelayedAsItIs(t *testing.T) {
	filter := "data: {\"choices\":[],\"prompt_filter_results\":[{\"x\":1}]}\n\n"
	role := "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
	cases := map[string]struct{ options, sent, want string }{
		"without the tokens that the client did not ask for": {"",
			filter + role + chunk("Hel") + chunk("lo 🦊") + stopChunk + usageChunk + doneEvent,
			filter + role + chunk("Hel") + chunk("lo 🦊") + stopChunk + doneEvent},
		"with the tokens that it asked for": {`,"stream_options":{"include_usage":true,"include_obfuscation":false}`,
			role + chunk("Hello 🦊") + stopChunk + usageChunk + doneEvent,
			role + chunk("Hello 🦊") + stopChunk + usageChunk + doneEvent},
		"in the one framing that every client reads": {"",
			": ping\r\n\r\nid: 7\r\nevent: message\r\ndata:{\"choices\":[{\"index\":0,\r\ndata: \"delta\":{\"content\":\"Hello 🦊\"}}]}\r\n\r\n" + stopChunk + usageChunk + "data: [DONE] \n\n",
			"data: {\"choices\":[{\"index\":0, \"delta\":{\"content\":\"Hello 🦊\"}}]}\n\n" + stopChunk + doneEvent},
		"without a null error, at which some clients give up": {"",
			"data: {\"error\":null,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello 🦊\"}}]}\n\n" + stopChunk + usageChunk,
			"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello 🦊\"}}]}\n\n" + stopChunk + doneEvent},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, up := behind(t, Config{}, replay(200, sseType, c.sent))
			response, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true`+c.options+`}`)
			if diff := cmp.Diff(c.want, got); diff != "" || response.Header.Get("Content-Type") != sseType {
				t.Error(diff, response.Header)
			}
			if !strings.Contains(up.last(), `"include_usage":true`) {
				t.Errorf("sent %s", up.last())
			}
			kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
			if kept.Content != "Hello 🦊" || kept.Status != statusCompleted || kept.Tokens != (tokens{Input: 9, Output: 2}) || kept.FinishReason != "stop" {
				t.Errorf("kept %+v", kept)
			}
		})
	}
}

func TestWhatAProviderLeavesOutOfAStreamIsAdded(t *testing.T) {
	f, _ := behind(t, Config{}, replay(200, sseType, chunk("Hello")+doneEvent))
	_, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}`)
	head := `data: {"id":"c","object":"chat.completion.chunk","created":1795428000,"model":"demo-1",`
	want := chunk("Hello") + head + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		head + `"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"estimated":true}}` + "\n\n" + doneEvent
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAProviderThatKnowsOneWayServesBoth(t *testing.T) {
	const whole = `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}]}`
	pieces := `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"h"}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"reasoning_content":"m","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\""}}]}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" + doneEvent
	const kept = `{"reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}`
	cases := map[string]struct{ contentType, sent, stream, want string }{
		"whole, asked whole":    {jsonType, whole, "false", `"arguments":"{\"a\":1}"`},
		"whole, asked streamed": {jsonType, whole, "true", `"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]`},
		"pieces, asked whole":   {sseType, pieces, "false", `"message":{"role":"assistant","content":null,` + kept[1:len(kept)-1] + `},"finish_reason":"tool_calls"`},
		"pieces, asked so":      {sseType, pieces, "true", pieces},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, replay(200, c.contentType, c.sent))
			_, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"tools":[],"stream":`+c.stream+`}`)
			if !strings.Contains(got, c.want) {
				t.Errorf("%s\nis not in\n%s", c.want, got)
			}
			stored := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
			if stored.Extra != kept || stored.Content != "" || stored.FinishReason != "tool_calls" || stored.Status != statusCompleted {
				t.Errorf("kept %+v", stored)
			}
		})
	}
}

func TestTheResultOfAToolGoesOnInTheSession(t *testing.T) {
	n := 0
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		n++
		message := `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}`
		if n > 1 {
			message = `{"role":"assistant","content":"22 degrees"}`
		}
		replay(200, jsonType, `{"choices":[{"message":`+message+`}]}`)(w, r)
	})
	f.Do("POST", completions, alice, `{"model":"demo-1","messages":[{"role":"user","content":"how warm?"}]}`)
	f.Do("POST", completions, alice, `{"model":"demo-1","messages":[{"role":"user","content":"how warm?"},`+
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},`+
		`{"role":"tool","tool_call_id":"call_1","content":"22"}]}`)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)
	if len(kept) != 4 || kept[2].Extra != `{"messages":[{"role":"tool","tool_call_id":"call_1","content":"22"}]}` || kept[3].Content != "22 degrees" {
		t.Errorf("%+v", kept)
	}
}

func TestWhatAProviderSaysIsNullIsNothing(t *testing.T) {
	part := `{"role":"assistant","content":"Hi","refusal":null,"tool_calls":null,"function_call":null,"audio":null}`
	pieces := `data: {"choices":[{"index":0,"delta":` + part + `,"finish_reason":null}],"usage":null}` + "\n\n" + stopChunk +
		`data: {"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":1}}` + "\n\n" + doneEvent
	whole := `{"choices":[{"index":0,"message":` + part + `,"finish_reason":"stop"}]}`
	for name, c := range map[string]struct{ kind, answer, stream string }{
		"in a stream": {sseType, pieces, "true"}, "whole": {jsonType, whole, "false"}, "whole, asked streamed": {jsonType, whole, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, replay(200, c.kind, c.answer))
			response := f.post(t, t.Context(), `{"model":"demo-1","stream":`+c.stream+`,"messages":[{"role":"user","content":"hi"}]}`)
			said, err := io.ReadAll(response.Body)
			must(t, err)
			if response.StatusCode != 200 || strings.Contains(string(said), `"id":"",`) || strings.Contains(string(said), `"prompt_tokens":3`) {
				t.Errorf("%d %s", response.StatusCode, said)
			}
			if stored := f.stored(t, 1, f.onlySession(t, 1).ID)[1]; stored.Extra != "" || stored.Content != "Hi" {
				t.Errorf("kept %q with %s", stored.Content, stored.Extra)
			}
			answer := f.Do("POST", responses, alice, `{"model":"demo-1","stream":`+c.stream+`,"input":"hi"}`)
			if answer.Status != 200 || strings.Contains(string(answer.Body), "function_call") {
				t.Errorf("as a response: %d %s", answer.Status, answer.Body)
			}
		})
	}
}

func TestEveryChoiceIsKept(t *testing.T) {
	f, _ := behind(t, Config{}, replay(200, sseType, `data: {"choices":[{"index":1,"delta":{"content":"B"}},{"index":0,"delta":{"content":"A"}}]}`+"\n\n"+
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{"content":"b"},"finish_reason":"length"}]}`+"\n\n"+doneEvent))
	f.stream(t, `{"model":"demo-1","n":2,"messages":[{"role":"user","content":"hi"}],"stream":true}`)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	if kept.Content != "A" || kept.Extra != `{"choices":[{"index":1,"message":{"role":"assistant","content":"Bb"},"finish_reason":"length"}]}` {
		t.Errorf("%+v", kept)
	}
}

func TestAProviderThatSpeaksNoOpenAIServesItsClients(t *testing.T) {
	f := serve(t, Config{}, echoing("own", "own-1"))
	answer := f.Do("POST", completions, alice, `{"model":"own-1","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"temperature":0.5}`).JSON(t)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	want := map[string]any{
		"id": "chatcmpl-" + kept.ID, "object": "chat.completion", "created": 1795428000.0, "model": "own-1",
		"choices": []any{map[string]any{"index": 0.0, "finish_reason": "stop", "message": map[string]any{"role": "assistant", "content": "re: hi"}}},
		"usage":   map[string]any{"prompt_tokens": 7.0, "completion_tokens": 3.0, "total_tokens": 10.0},
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
	_, got := f.stream(t, `{"model":"own-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	var deltas []string
	for _, line := range strings.Split(got, "\n\n") {
		_, choice, _ := strings.Cut(line, `"choices":`)
		deltas = append(deltas, choice)
	}
	wantDeltas := []string{
		`[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, `[{"index":0,"delta":{"content":"re: "},"finish_reason":null}]}`,
		`[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}`, `[{"index":0,"delta":{},"finish_reason":"stop"}]}`, "", "",
	}
	if diff := cmp.Diff(wantDeltas, deltas); diff != "" {
		t.Error(diff)
	}
}

func TestAFailureInAStreamIsAnErrorWithoutAnEnd(t *testing.T) {
	cases := map[string]http.HandlerFunc{
		"cut off":         cut(sseType, chunk("Hel")),
		"an error event":  replay(200, sseType, chunk("Hel")+"data: {\"error\":{\"message\":\""+testKey+"\",\"code\":\"server_error\"}}\n\n"),
		"a named one":     replay(200, sseType, chunk("Hel")+"event: error\ndata: {\"message\":\""+testKey+"\"}\n\n"),
		"garbage":         replay(200, sseType, chunk("Hel")+"data: {\"choices\":[\n\n"),
		"an end too soon": replay(200, sseType, chunk("Hel")),
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, answer)
			_, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
			rest, whole := strings.CutPrefix(got, chunk("Hel")+`data: {"error":{"message":"The provider \"fake\" `)
			if !whole || strings.Contains(got, "[DONE]") || strings.Contains(got, testKey) || !strings.Contains(rest, `"type":"server_error"`) {
				t.Errorf("got %s", got)
			}
			kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
			if kept.Content != "Hel" || kept.Status != statusFailed || kept.ErrorCode == "" || !kept.Tokens.Estimated || kept.Thread != "" {
				t.Errorf("kept %+v", kept)
			}
		})
	}
}

func TestAFailureBeforeAStreamHasItsStatus(t *testing.T) {
	f, _ := behind(t, Config{}, replay(401, jsonType, `{"error":{"message":"bad key `+testKey+`"}}`))
	response, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	if response.StatusCode != 502 || !strings.HasPrefix(got, `{"error":{"message":`) || strings.Contains(got, testKey) {
		t.Errorf("%d %s", response.StatusCode, got)
	}
}

func TestAClientThatLeavesStopsItsStream(t *testing.T) {
	gone := make(chan struct{})
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sseType)
		_, _ = io.WriteString(w, chunk("Hel"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	ctx, leave := context.WithCancel(t.Context())
	response := f.post(t, ctx, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	_, err := io.ReadFull(response.Body, make([]byte, len(chunk("Hel"))))
	must(t, err)
	left := time.Now()
	leave()
	within(t, "the provider is told", gone)
	if took := time.Since(left); took > time.Second { // 0.1 s, on a machine that does other things too
		t.Errorf("told after %v", took)
	}
	of := f.onlySession(t, 1)
	eventually(t, "the answer is kept as cancelled", func() bool {
		kept := f.stored(t, 1, of.ID)[1]
		return kept.Status == statusCancelled && kept.Content == "Hel" && kept.Tokens.Output > 0
	})
}

func TestWhatHasComeIsSentBeforeTheNextPieceIsThere(t *testing.T) {
	for name, sent := range map[string]string{
		"pieces that came together":            chunk("Hel") + chunk("lo"),
		"and a comment":                        chunk("Hel") + chunk("lo") + ": ping\n\n",
		"and tokens that nobody asked for":     chunk("Hel") + chunk("lo") + usageChunk,
		"and the beginning of one more":        chunk("Hel") + chunk("lo") + "data: {",
		"and something that is no piece of it": chunk("Hel") + chunk("lo") + "data:\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", sseType)
				_, _ = io.WriteString(w, sent)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			ctx, leave := context.WithTimeout(t.Context(), 5*time.Second)
			defer leave()
			response := f.post(t, ctx, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
			want := chunk("Hel") + chunk("lo")
			got := make([]byte, len(want))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestAnAnswerThatIsTooLongIsCut(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sseType)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk(strings.Repeat("x", 100))); err != nil {
				return
			}
		}
	}
	f, _ := behind(t, Config{MaxAnswerBytes: 1000}, endless)
	_, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	if !strings.HasSuffix(got, `"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`+"\n\n"+doneEvent) {
		t.Errorf("ends with %s", got[max(len(got)-300, 0):])
	}
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	if len(kept.Content) != 1000 || kept.Status != statusCompleted || kept.FinishReason != "length" {
		t.Errorf("%d bytes, %s", len(kept.Content), kept.FinishReason)
	}
}

func TestBadCompletionsAreRefused(t *testing.T) {
	f, up := behind(t, Config{}, replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`))
	cases := map[string]struct{ body, param string }{
		"no messages":              {`{"model":"demo-1"}`, "messages"},
		"messages of no kind":      {`{"messages":"hi"}`, "messages"},
		"no message":               {`{"messages":[]}`, "messages"},
		"a message that is none":   {`{"messages":["hi"]}`, "messages"},
		"a message without role":   {`{"messages":[{"content":"hi"}]}`, "messages"},
		"a number as the content":  {`{"messages":[{"role":"user","content":5}]}`, "messages"},
		"a million parts":          {`{"messages":[{"role":"user","content":[0` + strings.Repeat(",0", 1_000_000) + `]}]}`, "messages"},
		"a million calls":          {`{"messages":[{"role":"assistant","tool_calls":[{}` + strings.Repeat(",{}", 1_000_000) + `]}]}`, "messages"},
		"a million members":        {`{"messages":[{"role":"user","content":"hi"` + strings.Repeat(`,"":1`, 1_000_000) + `}]}`, "messages"},
		"a number as the model":    {`{"model":5,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"stream as text":           {`{"stream":"yes","messages":[{"role":"user","content":"hi"}]}`, "stream"},
		"two models, one spelt so": {`{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"Model":"demo-2"}`, "model"},
		"two models":               {`{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"model":"demo-2"}`, "model"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			answer := f.Do("POST", completions, alice, c.body)
			if answer.Status != 400 || member(answer.JSON(t), "error.param") != c.param || member(answer.JSON(t), "error.type") != "invalid_request_error" {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
	if answer := f.Do("POST", completions, alice, `{"model":"gpt-9","messages":[{"role":"user","content":"hi"}]}`); answer.Status != 404 || member(answer.JSON(t), "error.code") != "model_not_found" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer := f.Do("POST", completions, testkit.Nobody, `{"messages":[{"role":"user","content":"hi"}]}`); answer.Status != 401 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	for _, body := range []string{`{"messages":[`, `{"messages":` + strings.Repeat("[", 6_000_000), `{"x":` + strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1001)} {
		for _, path := range []string{completions, responses, embeddings} {
			if answer := f.Do("POST", path, alice, body); answer.Status != 400 {
				t.Errorf("%.20q: %d %s", body, answer.Status, answer.Body)
			}
		}
	}
	if len(up.bodies) != 0 {
		t.Errorf("asked %v", up.bodies)
	}
}

func TestARequestIsChangedToWhatTheModelAccepts(t *testing.T) {
	f, up := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		replay(400, jsonType, `{"error":{"message":"no","param":"max_tokens"}}`)(w, r)
	})
	f.Do("POST", completions, alice, `{"max_tokens":7,"messages":[{"role":"user","content":"hi"}]}`)
	if len(up.bodies) != 2 || !strings.Contains(up.last(), `"max_completion_tokens":7`) || strings.Contains(up.last(), `"max_tokens"`) {
		t.Errorf("asked %v", up.bodies)
	}
}

func TestEveryByteOfAHugeQuestionIsKept(t *testing.T) {
	f, _ := behind(t, Config{}, replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`))
	text := strings.Repeat("é\u0000", 500_000)
	body, err := json.Marshal(map[string]any{"messages": []any{map[string]any{"role": "user", "content": text, "name": "n"}}})
	must(t, err)
	if answer := f.Do("POST", completions, alice, string(body)); answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[0]
	var sent struct{ Messages []struct{ Content string } }
	must(t, json.Unmarshal([]byte(kept.Extra), &sent))
	if sent.Messages[0].Content != text || !bytes.Equal([]byte(kept.Content), []byte(strings.Repeat("é", 500_000))) {
		t.Error("something is missing")
	}
}

func TestCallsThatAreNotCountedAreKeptApart(t *testing.T) {
	const one, two = `"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}`, `"id":"call_2","type":"function","function":{"name":"g","arguments":"{"}`
	chunk := func(calls string) string {
		return `data: {"choices":[{"index":0,"delta":{"tool_calls":[` + calls + `]}}]}` + "\n\n"
	}
	const kept = `{"tool_calls":[{` + one + `},{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}`
	for name, sent := range map[string]string{
		"without an index":             chunk("{"+one+"},{"+two+"}") + chunk(`{"function":{"arguments":"}"}}`),
		"in chunks of their own":       chunk("{"+one+"}") + chunk("{"+two+"}") + chunk(`{"function":{"arguments":"}"}}`),
		"all as the first":             chunk(`{"index":0,`+one+"}") + chunk(`{"index":0,`+two+"}") + chunk(`{"index":0,"function":{"arguments":"}"}}`),
		"with their id in every chunk": chunk(`{"index":0,`+one+`},{"index":1,`+two+"}") + chunk(`{"index":1,"id":"call_2","function":{"arguments":"}"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, replay(200, sseType, sent+stopChunk+doneEvent))
			f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
			if got := f.stored(t, 1, f.onlySession(t, 1).ID)[1].Extra; got != kept {
				t.Errorf("kept %s", got)
			}
			events := strings.Join(f.respond(t, `{"model":"demo-1","input":"hi","stream":true}`), "\n")
			for _, part := range []string{`"arguments":"{\"a\":1}","name":"f"`, `"arguments":"{}","name":"g"`} {
				if !strings.Contains(events, part) {
					t.Errorf("%s is not in\n%s", part, events)
				}
			}
		})
	}
}

func TestAnInstructionOfALaterRequestIsKept(t *testing.T) {
	f, _ := behind(t, Config{}, replay(200, jsonType, `{"choices":[{"message":{"role":"assistant","content":"one"}}]}`))
	f.Do("POST", completions, alice, `{"messages":[{"role":"user","content":"hi"}]}`)
	f.Do("POST", completions, alice, `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"one"},{"role":"system","content":"in French"},{"role":"user","content":"again"}]}`)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)
	if len(kept) != 4 || !strings.Contains(kept[2].Extra, "in French") {
		t.Errorf("%+v", kept)
	}
}

func TestClientsAreToldNotToRepeatWhatFailsAgain(t *testing.T) {
	for status, want := range map[int]string{401: "false", 402: "false", 404: "false", 410: "false", 418: "", 413: ""} {
		f, _ := behind(t, Config{}, replay(status, jsonType, `{}`))
		answer := f.Do("POST", completions, alice, `{"messages":[{"role":"user","content":"hi"}]}`)
		if got := answer.Header.Get("X-Should-Retry"); got != want {
			t.Errorf("%d becomes %d, X-Should-Retry %q", status, answer.Status, got)
		}
	}
}

func TestAWholeAnswerThatIsTooLongIsCutInAStreamToo(t *testing.T) {
	f, _ := behind(t, Config{MaxAnswerBytes: 1000}, replay(200, jsonType, `{"choices":[{"message":{"content":"`+strings.Repeat("x", 2000)+`"},"finish_reason":"stop"}]}`))
	_, got := f.stream(t, `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	if !strings.Contains(got, `"content":"`+strings.Repeat("x", 1000)+`"}`) || strings.Count(got, `"finish_reason":"length"`) != 1 || !strings.HasSuffix(got, doneEvent) {
		t.Errorf("got %s", got)
	}
	if kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]; len(kept.Content) != 1000 || kept.FinishReason != "length" {
		t.Errorf("kept %d bytes, %s", len(kept.Content), kept.FinishReason)
	}
}

func TestArgumentsHaveOneForm(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":1,"b":[2.5,"x"]}`, ` { "b" : [2.50, "\u0078"], "a": 1.0 } `},
		{"", " ", "{}", "{ }"},
		{`{"a":100}`, `{"a":1e2}`},
	} {
		for _, arguments := range same {
			if canonical(arguments) != canonical(same[0]) {
				t.Errorf("%q is %q, not %q", arguments, canonical(arguments), canonical(same[0]))
			}
		}
	}
	for _, other := range [][2]string{{`[9007199254740993]`, `[9007199254740992]`}, {`{}x`, `{}`}, {`{} {}`, `{}`}, {`[1e999]`, `[1e998]`}} {
		if canonical(other[0]) == canonical(other[1]) {
			t.Errorf("%s is as %s", other[0], other[1])
		}
	}
}

func TestLongArgumentsTakeNoMemory(t *testing.T) {
	long := "[" + strings.Repeat("0,", 2<<20) + "0]"
	q, err := readCompletion([]byte(`{"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"` + long + `"}}]},{"role":"user","content":"x"}]}`))
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	q.threads()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("a digest of %d bytes took %d", len(long), took)
	}
}
