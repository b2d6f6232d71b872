package chat

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

var alice, bob = testkit.User(1), testkit.User(2)

func TestEveryBadRequestIsRefusedBeforeAnythingIsStored(t *testing.T) {
	provider := echoing("fake", "m-1")
	f := serve(t, Config{}, provider)
	unknown := uid.New(time.Now())
	cases := map[string]struct {
		method, path string
		as           testkit.Caller
		body         any
		status       int
		code, field  string
	}{
		"nobody signed in":            {"POST", "/chat", testkit.Nobody, `{"message":"x"}`, 401, "authentication_required", ""},
		"nobody lists sessions":       {"GET", "/chat/sessions", testkit.Nobody, nil, 401, "authentication_required", ""},
		"nobody lists models":         {"GET", "/chat/models", testkit.Nobody, nil, 401, "authentication_required", ""},
		"no body":                     {"POST", "/chat", alice, nil, 400, "malformed_json", ""},
		"broken JSON":                 {"POST", "/chat", alice, `{"message":`, 400, "malformed_json", ""},
		"an array":                    {"POST", "/chat", alice, `["x"]`, 400, "malformed_json", ""},
		"an unknown field":            {"POST", "/chat", alice, `{"message":"x","top_p":1}`, 422, "validation_failed", "top_p"},
		"no message":                  {"POST", "/chat", alice, `{}`, 422, "validation_failed", "message"},
		"a null message":              {"POST", "/chat", alice, `{"message":null}`, 422, "validation_failed", "message"},
		"a blank message":             {"POST", "/chat", alice, `{"message":" \n\t "}`, 422, "validation_failed", "message"},
		"a number as the message":     {"POST", "/chat", alice, `{"message":5}`, 422, "validation_failed", "message"},
		"a message too long":          {"POST", "/chat", alice, map[string]any{"message": strings.Repeat("é", 32_001)}, 422, "validation_failed", "message"},
		"a NUL in the message":        {"POST", "/chat", alice, `{"message":"a\u0000b"}`, 422, "validation_failed", "message"},
		"a body above 1 MiB":          {"POST", "/chat", alice, map[string]any{"message": strings.Repeat("x", 1<<20)}, 413, "body_too_large", ""},
		"a system prompt too long":    {"POST", "/chat", alice, map[string]any{"message": "x", "system": strings.Repeat("x", 32_001)}, 422, "validation_failed", "system"},
		"too warm":                    {"POST", "/chat", alice, `{"message":"x","temperature":2.1}`, 422, "validation_failed", "temperature"},
		"too cold":                    {"POST", "/chat", alice, `{"message":"x","temperature":-0.1}`, 422, "validation_failed", "temperature"},
		"an absurd temperature":       {"POST", "/chat", alice, `{"message":"x","temperature":1e999}`, 422, "validation_failed", "temperature"},
		"no tokens":                   {"POST", "/chat", alice, `{"message":"x","max_tokens":0}`, 422, "validation_failed", "max_tokens"},
		"absurdly many tokens":        {"POST", "/chat", alice, `{"message":"x","max_tokens":9999999999}`, 422, "validation_failed", "max_tokens"},
		"half a token":                {"POST", "/chat", alice, `{"message":"x","max_tokens":1.5}`, 422, "validation_failed", "max_tokens"},
		"stream as text":              {"POST", "/chat", alice, `{"message":"x","stream":"yes"}`, 422, "validation_failed", "stream"},
		"an unknown model":            {"POST", "/chat", alice, `{"message":"x","model":"gpt-9"}`, 422, "unknown_model", "model"},
		"an unknown model, streamed":  {"POST", "/chat", alice, `{"message":"x","model":"gpt-9","stream":true}`, 422, "unknown_model", "model"},
		"an unknown session":          {"POST", "/chat", alice, map[string]any{"message": "x", "session_id": unknown}, 404, "not_found", ""},
		"a session id that is none":   {"POST", "/chat", alice, `{"message":"x","session_id":"../../etc"}`, 404, "not_found", ""},
		"a title too long":            {"POST", "/chat/sessions", alice, map[string]any{"title": strings.Repeat("x", 201)}, 422, "validation_failed", "title"},
		"a session of unknown model":  {"POST", "/chat/sessions", alice, `{"model":"gpt-9"}`, 422, "unknown_model", "model"},
		"a session of unknown fields": {"POST", "/chat/sessions", alice, `{"name":"x"}`, 422, "validation_failed", "name"},
		"a page below 1":              {"GET", "/chat/sessions?page=0", alice, nil, 422, "validation_failed", "page"},
		"a page too large":            {"GET", "/chat/sessions?per_page=101", alice, nil, 422, "validation_failed", "per_page"},
		"an unknown session's read":   {"GET", "/chat/sessions/" + unknown, alice, nil, 404, "not_found", ""},
		"an unknown session's title":  {"PATCH", "/chat/sessions/" + unknown, alice, `{"title":"x"}`, 404, "not_found", ""},
		"an unknown session's end":    {"DELETE", "/chat/sessions/" + unknown, alice, nil, 404, "not_found", ""},
		"a read of no id":             {"GET", "/chat/sessions/%2e%2e", alice, nil, 404, "not_found", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			answer := f.Do(c.method, c.path, c.as, c.body)
			if answer.Status != c.status || answer.Code() != c.code || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") {
				t.Fatalf("status %d: %s", answer.Status, answer.Body)
			}
			if c.field != "" && !strings.Contains(string(answer.Body), `"field":"`+c.field+`"`) {
				t.Fatalf("%s is not named: %s", c.field, answer.Body)
			}
		})
	}
	if total := member(f.Do("GET", "/chat/sessions", alice, nil).JSON(t), "total"); total != "0" || len(provider.asked()) != 0 {
		t.Fatalf("%s sessions, %d questions to the provider", total, len(provider.asked()))
	}
}

func TestAnAnswerHasTheShapeThatWasPromised(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	answer := f.say(t, alice, map[string]any{"message": "  Hello\nthere  "})
	sessionID, messageID := member(answer, "session_id"), member(answer, "message_id")
	want := map[string]any{
		"session_id": sessionID, "message_id": messageID, "role": "assistant", "content": "re: Hello\nthere", "model": "m-1", "provider": "fake",
		"finish_reason": "stop", "tokens": map[string]any{"input": 7.0, "output": 3.0, "total": 10.0, "estimated": false}, "created_at": "2026-11-23T10:00:00Z",
	}
	if diff := cmp.Diff(want, answer); diff != "" || !uid.Valid(sessionID) || !uid.Valid(messageID) {
		t.Fatal(diff)
	}
	read := f.Do("GET", "/chat/sessions/"+sessionID, alice, nil).JSON(t)
	messages, _ := read["messages"].([]any)
	delete(read, "messages")
	wantSession := map[string]any{
		"id": sessionID, "title": "Hello there", "model": "m-1", "system": "", "message_count": 2.0, "created_at": "2026-11-23T10:00:00Z",
		"updated_at": "2026-11-23T10:00:00Z", "tokens": map[string]any{"input": 7.0, "output": 3.0, "total": 10.0, "estimated": false},
		"total": 2.0, "page": 1.0, "per_page": 100.0,
	}
	if diff := cmp.Diff(wantSession, read); diff != "" {
		t.Fatal(diff)
	}
	if len(messages) != 2 {
		t.Fatalf("%v", messages)
	}
	asked, answered := messages[0].(map[string]any), messages[1].(map[string]any)
	delete(asked, "id")
	wantQuestion := map[string]any{
		"role": "user", "content": "Hello\nthere", "model": nil, "provider": nil, "finish_reason": nil, "status": "completed",
		"tokens": map[string]any{"input": 0.0, "output": 0.0, "total": 0.0, "estimated": false}, "created_at": "2026-11-23T10:00:00Z",
	}
	if diff := cmp.Diff(wantQuestion, asked); diff != "" {
		t.Fatal(diff)
	}
	if answered["id"] != messageID || answered["status"] != "completed" || answered["model"] != "m-1" {
		t.Fatalf("%v", answered)
	}
}

func TestASessionGoesOnWithItsHistorySystemPromptAndModel(t *testing.T) {
	one, two := echoing("one", "m-1"), echoing("two", "m-2")
	f := serve(t, Config{}, one, two)
	made := f.Do("POST", "/chat/sessions", alice, map[string]any{"title": " My\ntitle ", "model": "m-2", "system": " be brief "})
	if made.Status != 201 {
		t.Fatalf("status %d: %s", made.Status, made.Body)
	}
	id := member(made.JSON(t), "id")
	if got := made.JSON(t); got["title"] != "My title" || got["system"] != "be brief" || got["model"] != "m-2" || got["message_count"] != 0.0 {
		t.Fatalf("%v", got)
	}
	for _, body := range []map[string]any{
		{"message": "first"}, {"message": "second"}, {"message": "third", "system": "be long", "model": "one/m-1", "temperature": 0.5, "max_tokens": 9}, {"message": "fourth", "system": ""},
	} {
		body["session_id"] = id
		f.clock.Advance(time.Second)
		f.say(t, alice, body)
	}
	var got []string
	for _, request := range append(two.asked(), one.asked()...) {
		got = append(got, request.Model+" "+said(request.Messages))
	}
	want := []string{
		"m-2 s:be brief u:first",
		"m-2 s:be brief u:first a:re: first u:second",
		"m-1 s:be long u:first a:re: first u:second a:re: second u:third",
		"m-1 u:first a:re: first u:second a:re: second u:third a:re: third u:fourth",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if third := one.asked()[0]; *third.Temperature != 0.5 || third.MaxTokens != 9 {
		t.Fatalf("%+v", third)
	}
	read := f.Do("GET", "/chat/sessions/"+id, alice, nil).JSON(t)
	if read["title"] != "My title" || read["system"] != "" || read["model"] != "one/m-1" || read["message_count"] != 8.0 {
		t.Fatalf("%v", read)
	}
}

func TestALongHistoryIsCutToTheContext(t *testing.T) {
	provider := echoing("fake", "m-1")
	f := serve(t, Config{ContextTokens: 400}, provider)
	id := member(f.say(t, alice, map[string]any{"message": "m0", "system": "sys"}), "session_id")
	for i := 1; i <= 40; i++ {
		f.say(t, alice, map[string]any{"message": fmt.Sprintf("m%d", i), "session_id": id})
	}
	requests := provider.asked()
	last := requests[len(requests)-1].Messages
	if last[0].Content != "sys" || last[len(last)-1].Content != "m40" || len(last) < 20 || len(last) > 80 {
		t.Fatalf("%d messages: %s", len(last), said(last))
	}
	first := 40 - (len(last)-2)/2
	if last[1].Content != fmt.Sprintf("m%d", first) || estimatePrompt(last) > 400-50 {
		t.Fatalf("begins with %q, %d tokens", last[1].Content, estimatePrompt(last))
	}
}

func TestSessionsArePrivateToTheirUser(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	id := member(f.say(t, alice, map[string]any{"message": "secret"}), "session_id")
	unknown := f.Do("GET", "/chat/sessions/"+uid.New(time.Now()), alice, nil)
	for name, as := range map[string]testkit.Caller{"another user": bob, "an administrator": testkit.Admin(3)} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct{ method, path, body string }{
				{"GET", "/chat/sessions/" + id, ""}, {"PATCH", "/chat/sessions/" + id, `{"title":"x"}`}, {"DELETE", "/chat/sessions/" + id, ""},
				{"POST", "/chat", `{"message":"x","session_id":"` + id + `"}`},
			} {
				var body any
				if c.body != "" {
					body = c.body
				}
				answer := f.Do(c.method, c.path, as, body)
				if answer.Status != 404 || member(answer.JSON(t), "detail") != member(unknown.JSON(t), "detail") {
					t.Fatalf("%s: status %d: %s", c.method, answer.Status, answer.Body)
				}
			}
			if total := member(f.Do("GET", "/chat/sessions", as, nil).JSON(t), "total"); total != "0" {
				t.Fatalf("%s sessions", total)
			}
		})
	}
	if f.onlySession(t, 1).MessageCount != 2 {
		t.Fatal("the session has changed")
	}
}

func TestSessionsAreRenamedDeletedAndErased(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	empty := f.Do("POST", "/chat/sessions", alice, nil)
	if empty.Status != 201 || member(empty.JSON(t), "title") != "" {
		t.Fatalf("status %d: %s", empty.Status, empty.Body)
	}
	id := member(empty.JSON(t), "id")
	f.say(t, alice, map[string]any{"message": "names it", "session_id": id})
	if got := f.onlySession(t, 1); got.Title != "names it" {
		t.Fatalf("%+v", got)
	}
	for title, status := range map[string]int{``: 422, `   `: 422, strings.Repeat("é", 201): 422, strings.Repeat("é", 200): 200} {
		if answer := f.Do("PATCH", "/chat/sessions/"+id, alice, map[string]any{"title": title}); answer.Status != status {
			t.Fatalf("%q: status %d: %s", title, answer.Status, answer.Body)
		}
	}
	if answer := f.Do("PATCH", "/chat/sessions/"+id, alice, `{}`); answer.Status != 422 {
		t.Fatalf("status %d", answer.Status)
	}
	if answer := f.Do("DELETE", "/chat/sessions/"+id, alice, nil); answer.Status != 204 || len(answer.Body) != 0 {
		t.Fatalf("status %d", answer.Status)
	}
	if answer := f.Do("DELETE", "/chat/sessions/"+id, alice, nil); answer.Status != 404 {
		t.Fatalf("status %d", answer.Status)
	}
	for range 3 {
		f.say(t, alice, map[string]any{"message": "x"})
	}
	f.say(t, bob, map[string]any{"message": "x"})
	for range 2 { // the second time nothing is left to do
		must(t, f.module.EraseUser(context.Background(), 1))
	}
	if total := member(f.Do("GET", "/chat/sessions", alice, nil).JSON(t), "total"); total != "0" {
		t.Fatalf("%s sessions are left", total)
	}
	f.onlySession(t, 2)
}

func TestMessagesArePagedFromTheNewest(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	id := member(f.say(t, alice, map[string]any{"message": "m1"}), "session_id")
	for i := 2; i <= 4; i++ {
		f.say(t, alice, map[string]any{"message": fmt.Sprintf("m%d", i), "session_id": id})
	}
	for query, want := range map[string]string{
		"": "m1|re: m1|m2|re: m2|m3|re: m3|m4|re: m4", "?per_page=3": "re: m3|m4|re: m4", "?per_page=3&page=2": "m2|re: m2|m3", "?per_page=3&page=3": "m1|re: m1", "?page=2": "",
	} {
		t.Run("query "+query, func(t *testing.T) {
			read := f.Do("GET", "/chat/sessions/"+id+query, alice, nil).JSON(t)
			messages, isList := read["messages"].([]any)
			var got []string
			for _, m := range messages {
				got = append(got, member(m.(map[string]any), "content"))
			}
			if strings.Join(got, "|") != want || !isList || read["total"] != 8.0 {
				t.Fatalf("got %q of %v", strings.Join(got, "|"), read["total"])
			}
		})
	}
}

func TestModelsAreListedWithTheDefault(t *testing.T) {
	f := serve(t, Config{}, echoing("one", "a", "b"), echoing("two", "c"))
	got := f.Do("GET", "/chat/models", alice, nil).JSON(t)
	want := map[string]any{"models": []any{
		map[string]any{"id": "a", "provider": "one", "default": true}, map[string]any{"id": "b", "provider": "one", "default": false},
		map[string]any{"id": "c", "provider": "two", "default": false},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestAFailureIsStoredAndNamesItsSession(t *testing.T) {
	f := serve(t, Config{}, failing("one", &fault.Error{Kind: fault.Unavailable, Code: "provider_rate_limited", Detail: "Wait.", RetryAfter: 7 * time.Second}, "half an answer"))
	answer := f.Do("POST", "/chat", alice, `{"message":"x"}`)
	body := answer.JSON(t)
	if answer.Status != 503 || answer.Code() != "provider_rate_limited" || answer.Header.Get("Retry-After") != "7" {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	got := f.stored(t, 1, member(body, "session_id"))[1]
	if got.ID != member(body, "message_id") || got.Status != statusFailed || got.Content != "half an answer" || !got.Tokens.Estimated || got.Tokens.Output == 0 {
		t.Fatalf("%+v", got)
	}
	read := f.Do("GET", "/chat/sessions/"+got.SessionID, alice, nil).JSON(t)
	last := read["messages"].([]any)[1].(map[string]any)
	if diff := cmp.Diff(map[string]any{"code": "provider_rate_limited", "detail": "Wait."}, last["error"]); diff != "" {
		t.Fatal(diff)
	}
}

func TestAnAnswerAboveTheLimitIsCutAtACharacter(t *testing.T) {
	endless := &scripted{name: "one", models: []string{"m"}, answer: func(_ context.Context, _ Request, emit func(string) error) (Result, error) {
		for {
			if err := emit("漢字\x00"); err != nil {
				return Result{}, err
			}
		}
	}}
	f := serve(t, Config{MaxAnswerBytes: 100}, endless)
	answer := f.say(t, alice, map[string]any{"message": "x"})
	content := member(answer, "content")
	if member(answer, "finish_reason") != "length" || content != strings.Repeat("漢字", 16)+"漢" {
		t.Fatalf("%q", content)
	}
	if stored := f.onlySession(t, 1); stored.Tokens.Output != 33 || !stored.Tokens.Estimated {
		t.Fatalf("%+v", stored)
	}
}

func TestFiftyMessagesAtOnceAreAllKept(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	id := member(f.say(t, alice, map[string]any{"message": "m0"}), "session_id")
	statuses := make([]int, 50)
	var wait sync.WaitGroup
	for i := range statuses {
		wait.Go(func() {
			statuses[i] = f.Do("POST", "/chat", alice, map[string]any{"message": fmt.Sprintf("m%d", i+1), "session_id": id, "stream": i%2 == 0}).Status
		})
	}
	wait.Wait()
	for i, status := range statuses {
		if status != 200 {
			t.Fatalf("message %d: status %d", i, status)
		}
	}
	if got := f.onlySession(t, 1); got.MessageCount != 102 || got.Tokens != (tokens{Input: 7 * 51, Output: 3 * 51}) {
		t.Fatalf("%+v", got)
	}
}

func TestWhatAnEarlierRunLeftIsReconciled(t *testing.T) {
	f := serve(t, Config{}, echoing("fake", "m-1"))
	s := newSession(1, epoch)
	b := begin(s, "x", epoch)
	b.New = true
	must(t, f.module.service.repository.BeginExchange(t.Context(), b))
	if n, err := f.module.Reconcile(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	read := f.Do("GET", "/chat/sessions/"+s.ID, alice, nil).JSON(t)
	last := read["messages"].([]any)[1].(map[string]any)
	if last["status"] != "failed" || member(last, "error.code") != "interrupted" {
		t.Fatalf("%v", last)
	}
}

func TestAnswersOfLivingServersAreLeftAloneUntilTheyAreOverdue(t *testing.T) {
	called, release := make(chan struct{}), make(chan struct{})
	slow := echoing("fake", "m-1")
	answer := slow.answer
	slow.answer = func(ctx context.Context, request Request, emit func(string) error) (Result, error) {
		close(called)
		<-release
		return answer(ctx, request, emit)
	}
	f := serve(t, Config{}, slow)
	f.module.service.instance = "own"
	living := map[string]bool{"own": true, "other": true}
	f.module.service.living = func(context.Context) (map[string]bool, error) { return living, nil }
	others := begin(newSession(1, f.clock.Now()), "x", f.clock.Now())
	others.New, others.Answer.Instance = true, "other"
	must(t, f.module.service.repository.BeginExchange(t.Context(), others))
	done := make(chan map[string]any)
	go func() { done <- f.say(t, bob, map[string]any{"message": "hello"}) }()
	within(t, "the provider is asked", called)
	reconciled := func(want int) {
		t.Helper()
		if n, err := f.module.Reconcile(t.Context()); err != nil || n != want {
			t.Errorf("reconciled %d, want %d, %v", n, want, err)
		}
	}
	reconciled(0)
	f.clock.Advance(overdue + time.Second)
	reconciled(1)
	close(release)
	if answered := within(t, "the answer", done); answered["content"] != "re: hello" {
		t.Errorf("%v", answered)
	}
	living = nil
	others = begin(newSession(1, f.clock.Now()), "x", f.clock.Now())
	others.New, others.Answer.Instance = true, "other"
	must(t, f.module.service.repository.BeginExchange(t.Context(), others))
	reconciled(1)
}

func TestTheGuideAnswersWithNothingConfigured(t *testing.T) {
	f := serve(t, Config{})
	answer := f.say(t, alice, map[string]any{"message": "How do I add a provider?"})
	if answer["provider"] != "local" || answer["model"] != "local/guide" || !strings.Contains(member(answer, "content"), "OPENAI_DEFAULT_MODEL") ||
		member(answer, "tokens.estimated") != "true" {
		t.Fatalf("%v", answer)
	}
}
