package chat

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"llmhist/platform/fault"
)

func TestAnotherProviderIsAskedOnlyWhereThatIsRight(t *testing.T) {
	refused := fault.New(fault.Invalid, "provider_refused_input", "No.")
	cases := map[string]struct {
		first *scripted
		model string
		want  string // the provider that answers; "" = the first one's fault
		code  string
	}{
		"an outage is bridged":                    {failing("one", errOverload), "", "two", ""},
		"a named model is never replaced":         {failing("one", errOverload), "one-1", "", "provider_unavailable"},
		"a refusal of the input is the user's":    {failing("one", refused), "", "", "provider_refused_input"},
		"too large an input is the user's":        {failing("one", fault.New(fault.TooLarge, "provider_input_too_large", "No.")), "", "", "provider_input_too_large"},
		"no other provider after the first piece": {failing("one", errOverload, "begun"), "", "", "provider_unavailable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			second := echoing("two", "m-2")
			f := serve(t, Config{}, c.first, second)
			answer := f.Do("POST", "/chat", alice, map[string]any{"message": "x", "model": c.model})
			body := answer.JSON(t)
			if member(body, "provider") != c.want || answer.Code() != c.code {
				t.Fatalf("status %d: %s", answer.Status, answer.Body)
			}
			stored := f.stored(t, 1, member(body, "session_id"))
			if c.want == "" && (len(second.asked()) != 0 || stored[1].Status != statusFailed || stored[1].ErrorCode != c.code || stored[1].Provider != "one") {
				t.Fatalf("%+v", stored)
			}
			if c.want != "" && (stored[1].Provider != "two" || stored[1].Model != "m-2") {
				t.Fatalf("%+v", stored)
			}
		})
	}
}

func TestWithoutAnOrderNobodyStandsIn(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	up := httptest.NewServer(replay(200, jsonType, `{"choices":[{"message":{"content":"Hi!"}}]}`))
	t.Cleanup(up.Close)
	config := Config{Upstreams: []Upstream{
		{Name: "one", BaseURL: down.URL, DefaultModel: "m-1"}, {Name: "two", BaseURL: up.URL, DefaultModel: "m-2"},
	}}
	hello := map[string]any{"message": "hello"}
	if answer := serve(t, config).Do("POST", "/chat", alice, hello); answer.Status != 503 || member(answer.JSON(t), "provider") != "one" {
		t.Fatalf("status %d: %s", answer.Status, answer.Body)
	}
	config.Providers = []string{"one", "two"}
	if answer := serve(t, config).say(t, alice, hello); member(answer, "provider") != "two" {
		t.Fatalf("%v", answer)
	}
}
