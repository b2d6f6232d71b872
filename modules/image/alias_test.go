package image

import (
	"net/http"
	"testing"

	"llmhist/platform/testkit"
)

func TestAnAliasIsServedByTheFirstOfItsModelsThatCan(t *testing.T) {
	down := serveUpstream(t, answerJSON(401, ""))
	up := serveUpstream(t, answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}]}`))
	refusing := serveUpstream(t, answerJSON(400, ""))
	member := func(u *upstream, name string) Upstream {
		one := u.as(typeOpenAI).Upstreams[0]
		one.Name = name
		return one
	}
	narrow := member(up, "narrow")
	narrow.Sizes = []string{"64x64"}
	f := start(t, Config{
		Upstreams: []Upstream{member(down, "down"), member(up, "up"), member(refusing, "refusing"), narrow},
		Aliases: []Alias{
			{Name: "best", Models: []string{"m-1", "up/m-2"}}, // m-1 alone is that of "down"
			{Name: "strict", Models: []string{"refusing/m-1", "up/m-1"}},
			{Name: "sized", Models: []string{"down/m-1", "narrow/m-1"}},
		},
	})
	for name, c := range map[string]struct {
		alias, size string
		status      int
		provider    string // who made it, or who failed
		model       string
	}{
		"a provider's fault leads to the next": {"best", "128x64", 201, "up", "m-2"},
		"the input is the user's":              {"strict", "128x64", 422, "refusing", "m-1"},
		"one that cannot is left out":          {"sized", "128x64", 502, "down", "m-1"},
		"one that can is not":                  {"sized", "64x64", 201, "narrow", "m-1"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := f.do("POST", "/image/generate", testkit.User(1), map[string]any{"prompt": "x", "size": c.size, "model": c.alias})
			id, _ := answer.JSON(t)["id"].(string)
			if row := f.row(id); answer.Status != c.status || row.Provider != c.provider || row.Model != c.model {
				t.Errorf("%d by %s %s: %s", answer.Status, row.Provider, row.Model, answer.Body)
			}
		})
	}
	listed, offers := f.do("GET", "/image/models", testkit.Nobody, nil).JSON(t)["models"].([]any), f.module.Offers()
	entry, _ := listed[len(listed)-3].(map[string]any)
	if entry["id"] != "best" || entry["provider"] != "down" || entry["default"] != false || offers[len(offers)-3] != (Offer{ID: "best", Provider: "down"}) {
		t.Errorf("listed as %v and offered as %v", entry, offers)
	}
	if answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x","model":"worst"}`); answer.Status != http.StatusUnprocessableEntity {
		t.Errorf("an unknown alias: %d", answer.Status)
	}
}
