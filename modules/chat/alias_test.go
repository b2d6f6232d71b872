package chat

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"llmhist/platform/identity"
	"llmhist/platform/outbound"
	"llmhist/platform/usage"
)

func TestAnAliasIsAnsweredByTheFirstOfItsModelsThatCan(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	up := httptest.NewServer(replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`))
	t.Cleanup(up.Close)
	f := serve(t, Config{
		Upstreams: []Upstream{
			{Name: "one", BaseURL: down.URL, DefaultModel: "m-1", Limits: outbound.Policy{Retries: -1}}, {Name: "two", BaseURL: up.URL, DefaultModel: "m-2"},
		},
		Aliases: []Alias{{Name: "best-4.1", Models: []string{"one/m-1", "m-2"}}},
	})
	answer := f.say(t, alice, map[string]any{"message": "hello", "model": "best-4.1"})
	if member(answer, "provider") != "two" || member(answer, "model") != "m-2" {
		t.Errorf("%v", answer)
	}
	again := f.say(t, alice, map[string]any{"message": "hello", "session_id": answer["session_id"]})
	if member(again, "provider") != "two" {
		t.Errorf("the session does not keep the alias: %v", again)
	}
	if got := f.Do("POST", completions, alice, `{"model":"best-4.1","messages":[{"role":"user","content":"hi"}]}`); got.Header.Get("Llmhist-Provider") != "two" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if list := f.module.Models(); list[len(list)-1] != (Model{ID: "best-4.1", Provider: "one"}) {
		t.Errorf("%v", list)
	}
}

func TestAnAnswerCostsWhatItsModelDoes(t *testing.T) {
	up := httptest.NewServer(replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}],"usage":{"prompt_tokens":1000,"completion_tokens":200}}`))
	t.Cleanup(up.Close)
	f := serve(t, Config{Upstreams: []Upstream{{Name: "one", BaseURL: up.URL, DefaultModel: "m-1", Models: []string{"free"}, Prices: []Price{{Model: "m-1", Input: 2.5, Output: 10}}}}})
	for model, want := range map[string]float64{"m-1": 0.0045, "free": 0} {
		ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
		q, err := readCompletion([]byte(`{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`))
		must(t, err)
		_, err = f.module.service.complete(ctx, f.place(t), q, &completionStream{c: echo.New().NewContext(httptest.NewRequest("POST", "/", nil), httptest.NewRecorder())})
		must(t, err)
		if got := record.Figures().CostUSD; got != want {
			t.Errorf("%s costs %v", model, got)
		}
	}
}
