package speech

import (
	"strings"
	"testing"

	"llmhist/platform/fault"
)

func TestAnAliasIsSpokenByTheFirstOfItsModelsThatCan(t *testing.T) {
	down, up, gone := newFake(t, "down").failing(outage("down")), newFake(t, "up"), newFake(t, "gone")
	refusing := newFake(t, "refusing").failing(fault.New(fault.Invalid, "provider_refused_input", "no"))
	gone.list[0].missing = "Install gone."
	french := newFake(t, "french")
	french.list[0].match = func(language string) (string, string, bool) { return language, "", primary(language) == "fr" }
	b := newBench(t, down, up, gone, refusing, french)
	err := b.service.catalog.addAliases(t.Context(), []Alias{
		{Name: "best", Models: []string{"gone/one", "down", "up/one"}},
		{Name: "strict", Models: []string{"refusing", "up"}},
		{Name: "polyglot", Models: []string{"french", "up"}},
		{Name: "absent", Models: []string{"gone"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		request Request
		model   string
		code    string
	}{
		"a provider's fault leads to the next": {Request{Model: "best"}, "up/one", ""},
		"the input is the user's":              {Request{Model: "strict"}, "", "provider_refused_input"},
		"one that cannot is left out":          {Request{Model: "polyglot"}, "up/one", ""},
		"the first that can":                   {Request{Model: "polyglot", Language: "fr"}, "french/one", ""},
		"none can":                             {Request{Model: "polyglot", Language: "de"}, "", "validation_failed"},
		"none is there":                        {Request{Model: "absent"}, "", "voice_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			test.request.Text, test.request.Speed = "x", 1
			made, err := b.service.Generate(as(t, 7), test.request)
			if made.Model != test.model || fault.CodeOf(err) != test.code {
				t.Errorf("spoken by %q: %v", made.Model, err)
			}
		})
	}
	offers := b.Offers(t.Context())
	if offers[len(offers)-3] != (Offer{ID: "best", Provider: "down"}) {
		t.Errorf("offered: %v", offers)
	}
	listed := b.service.Models(t.Context())
	if best := listed[len(listed)-4]; best.id != "best" || best.missing != "" || len(best.voices) == 0 || !strings.Contains(best.note, "gone/one, down/one, up/one") {
		t.Errorf("listed as %+v", best)
	}
}
