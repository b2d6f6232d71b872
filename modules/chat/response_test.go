package chat

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/testkit"
)

const responses = "/v1/responses"

func TestAResponseIsAskedForAsAChatCompletion(t *testing.T) {
	f, up := behind(t, Config{}, replay(200, jsonType, `{"choices":[{"message":{"role":"assistant","content":"Hi!"}}]}`))
	answer := f.Do("POST", responses, alice, `{"model":"fake/demo-1","instructions":"be brief","max_output_tokens":50,"temperature":0.50,"metadata":{"a":"b"},"store":true,
		"reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}},
		"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],"tool_choice":{"type":"function","name":"f"},
		"input":[{"role":"developer","content":"no jokes"},{"role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:x","detail":"low"}]},
		{"type":"reasoning","id":"rs_1","summary":[]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
		{"type":"function_call_output","call_id":"c1","output":"22"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"So."}]},{"role":"user","content":"thanks"}]}`)
	if answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	path, sent, _ := strings.Cut(up.last(), " ")
	call := func(id, name string) any {
		return map[string]any{"id": id, "type": "function", "function": map[string]any{"name": name, "arguments": "{}"}}
	}
	want := map[string]any{
		"model": "demo-1", "max_tokens": 50.0, "temperature": 0.5, "reasoning_effort": "low",
		"response_format": map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "n", "schema": map[string]any{"type": "object"}, "strict": true}},
		"tools":           []any{map[string]any{"type": "function", "function": map[string]any{"name": "f", "parameters": map[string]any{"type": "object"}, "strict": false}}},
		"tool_choice":     map[string]any{"type": "function", "function": map[string]any{"name": "f"}},
		"messages": []any{
			map[string]any{"role": "system", "content": "be brief"}, map[string]any{"role": "system", "content": "no jokes"},
			map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": "look"}, map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:x", "detail": "low"}}}},
			map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{call("c1", "f"), call("c2", "g")}},
			map[string]any{"role": "tool", "tool_call_id": "c1", "content": "22"}, map[string]any{"role": "assistant", "content": "So."},
			map[string]any{"role": "user", "content": "thanks"},
		},
	}
	var got map[string]any
	must(t, json.Unmarshal([]byte(sent), &got))
	if diff := cmp.Diff(want, got); diff != "" || path != "/v1/chat/completions" {
		t.Error(path, diff)
	}
	body := answer.JSON(t)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	if body["id"] != "resp_"+kept.ID || body["object"] != "response" || body["status"] != "completed" || member(body, "metadata.a") != "b" || body["instructions"] != "be brief" || body["store"] != true {
		t.Errorf("%s", answer.Body)
	}
	wantOutput := []any{map[string]any{"type": "message", "id": "msg_" + kept.ID, "status": "completed", "role": "assistant",
		"content": []any{map[string]any{"type": "output_text", "text": "Hi!", "annotations": []any{}, "logprobs": []any{}}}}}
	if diff := cmp.Diff(wantOutput, body["output"]); diff != "" {
		t.Error(diff)
	}
	if member(body, "usage.estimated") != "true" || member(body, "usage.output_tokens") != "1" {
		t.Errorf("usage %v", body["usage"])
	}
}

// respond sends a streamed response and returns its events as "name: data",
// without what is the same in all of them.
func (f *fixture) respond(t testing.TB, body string) []string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+responses, strings.NewReader(body))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+string(alice))
	response, err := f.Client().Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	must(t, err)
	if strings.Contains(string(data), "[DONE]") {
		t.Error("a stream of responses has no [DONE]")
	}
	var list []string
	for n, frame := range strings.Split(strings.TrimSuffix(string(data), "\n\n"), "\n\n") {
		name, rest, _ := strings.Cut(frame, "\ndata: ")
		var event map[string]any
		must(t, json.Unmarshal([]byte(rest), &event))
		name = strings.TrimPrefix(name, "event: ")
		if event["type"] != name || event["sequence_number"] != float64(n) {
			t.Errorf("event %d is %s", n, frame)
		}
		for _, same := range []string{"type", "sequence_number", "item_id", "logprobs", "content_index"} {
			delete(event, same)
		}
		if whole, ok := event["response"].(map[string]any); ok {
			event = map[string]any{"status": whole["status"], "output": whole["output"], "usage": whole["usage"] != nil, "details": whole["incomplete_details"]}
		}
		if item, ok := event["item"].(map[string]any); ok {
			event["item"] = map[string]any{"type": item["type"], "status": item["status"]}
		}
		short, err := json.Marshal(event)
		must(t, err)
		list = append(list, name+": "+string(short))
	}
	return list
}

func TestAStreamedResponseHasItsEventsInOrder(t *testing.T) {
	f, up := behind(t, Config{}, replay(200, sseType, chunk("Hel")+chunk("lo")+
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":"{\"a\""}}]}}]}`+"\n\n"+
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}`+"\n\n"+stopChunk+usageChunk+doneEvent))
	got := f.respond(t, `{"model":"demo-1","input":"hi","stream":true}`)
	last := got[len(got)-1]
	want := []string{
		`response.created: {"details":null,"output":[],"status":"in_progress","usage":false}`,
		`response.in_progress: {"details":null,"output":[],"status":"in_progress","usage":false}`,
		`response.output_item.added: {"item":{"status":"in_progress","type":"message"},"output_index":0}`,
		`response.content_part.added: {"output_index":0,"part":{"annotations":[],"logprobs":[],"text":"","type":"output_text"}}`,
		`response.output_text.delta: {"delta":"Hel","output_index":0}`,
		`response.output_text.delta: {"delta":"lo","output_index":0}`,
		`response.output_item.added: {"item":{"status":"in_progress","type":"function_call"},"output_index":1}`,
		`response.function_call_arguments.delta: {"delta":"{\"a\"","output_index":1}`,
		`response.function_call_arguments.delta: {"delta":":1}","output_index":1}`,
		`response.output_text.done: {"output_index":0,"text":"Hello"}`,
		`response.content_part.done: {"output_index":0,"part":{"annotations":[],"logprobs":[],"text":"Hello","type":"output_text"}}`,
		`response.output_item.done: {"item":{"status":"completed","type":"message"},"output_index":0}`,
		`response.function_call_arguments.done: {"arguments":"{\"a\":1}","name":"f","output_index":1}`,
		`response.output_item.done: {"item":{"status":"completed","type":"function_call"},"output_index":1}`,
	}
	if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
		t.Error(diff)
	}
	for _, part := range []string{"response.completed: ", `"text":"Hello"`, `"call_id":"call_1"`, `"arguments":"{\"a\":1}"`, `"usage":true`} {
		if !strings.Contains(last, part) {
			t.Errorf("%s is not in %s", part, last)
		}
	}
	if !strings.Contains(up.last(), `"include_usage":true`) {
		t.Errorf("sent %s", up.last())
	}
}

func TestAResponseThatIsCutIsIncomplete(t *testing.T) {
	f := serve(t, Config{MaxAnswerBytes: 6}, echoing("own", "own-1"))
	got := f.respond(t, `{"model":"own-1","input":"a long question","stream":true}`)
	if last := got[len(got)-1]; !strings.HasPrefix(last, `response.incomplete: {"details":{"reason":"max_output_tokens"},`) || !strings.Contains(last, `"text":"re: a "`) {
		t.Error(last)
	}
	whole := f.Do("POST", responses, alice, `{"model":"own-1","input":"a long question"}`).JSON(t)
	if whole["status"] != "incomplete" || member(whole, "incomplete_details.reason") != "max_output_tokens" {
		t.Errorf("%v", whole)
	}
}

func TestAResponseThatFailsIsAnErrorEvent(t *testing.T) {
	f, _ := behind(t, Config{}, cut(sseType, chunk("Hel")))
	got := f.respond(t, `{"model":"demo-1","input":"hi","stream":true}`)
	if last := got[len(got)-1]; !strings.HasPrefix(last, `error: {"code":"provider_cut_off","message":"The provider \"fake\" broke off`) {
		t.Error(last)
	}
}

func TestBadResponsesAreRefused(t *testing.T) {
	f := serve(t, Config{}, echoing("own", "own-1"))
	for body, want := range map[string]string{
		`{}`:              "input",
		`{"input":5}`:     "input",
		`{"input":[]}`:    "input",
		`{"input":["x"]}`: "input",
		`{"input":[{"role":"user","content":` + strings.Repeat(`{"a":`, 400) + `"` + strings.Repeat("x", 5_000_000) + `"` + strings.Repeat("}", 400) + `}]}`: "input",
		`{"input":"x","previous_response_id":"resp_1"}`:                               "previous_response_id",
		`{"input":"x","background":true}`:                                             "background",
		`{"input":"x","tools":[{"type":"web_search"}]}`:                               "tools",
		`{"input":[{"type":"item_reference","id":"x"}]}`:                              "input",
		`{"input":[{"role":"user","content":[{"type":"input_file","file_id":"x"}]}]}`: "input",
		`{"input":"x","model":5}`:                                                     "model",
		`{"input":"x","model":"gpt-9"}`:                                               "model",
	} {
		answer := f.Do("POST", responses, alice, body)
		if answer.Status/100 != 4 || member(answer.JSON(t), "error.param") != want {
			t.Errorf("%s: %d %s", body, answer.Status, answer.Body)
		}
	}
	if answer := f.Do("POST", responses, testkit.Nobody, `{"input":"x"}`); answer.Status != 401 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestAResponseOfACallHasItsItems(t *testing.T) {
	up := httptest.NewServer(replay(200, jsonType, `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":1}}}`))
	t.Cleanup(up.Close)
	f := serve(t, Config{OpenAI: OpenAI{BaseURL: up.URL, DefaultModel: "demo-1"}})
	body := f.Do("POST", responses, alice, `{"input":"x"}`).JSON(t)
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	want := []any{map[string]any{"type": "function_call", "id": "fc_" + kept.ID + "_0", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"}}
	if diff := cmp.Diff(want, body["output"]); diff != "" || member(body, "usage.output_tokens_details.reasoning_tokens") != "1" || member(body, "usage.total_tokens") != "11" {
		t.Error(diff, body["usage"])
	}
}
