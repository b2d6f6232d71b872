package chat

import (
	"fmt"
	"strings"
	"testing"

	"llmhist/platform/testkit"
)

const embeddings = "/v1/embeddings"

func TestEmbeddingsComeInTheFormatThatIsAskedFor(t *testing.T) {
	const sent = `{"object":"list","novel":1.50,"data":[{"object":"embedding","index":0,"embedding":%s},{"index":1,"embedding":%s}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}`
	const one, two, oneText, twoText = `[1,-0.5]`, `[0.1]`, `"AACAPwAAAL8="`, `"zczMPQ=="`
	numbers, texts := fmt.Sprintf(sent, one, two), fmt.Sprintf(sent, oneText, twoText)
	for name, c := range map[string]struct{ answered, format, want string }{
		"numbers as numbers":  {numbers, `"encoding_format":"float",`, numbers},
		"numbers unasked":     {numbers, ``, numbers},
		"numbers as base64":   {numbers, `"encoding_format":"base64",`, texts},
		"base64 as base64":    {texts, `"encoding_format":"base64",`, texts},
		"base64 as numbers":   {texts, ``, numbers},
		"an item without one": {`{"data":[{"index":0},{"embedding":[1]}]}`, ``, `{"data":[{"index":0},{"embedding":[1]}]}`},
		"no vector it knows":  {`{"data":[{"embedding":"?"}]}`, ``, `{"data":[{"embedding":"?"}]}`},
		"a list without them": {`{"data":[]}`, ``, `{"data":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			f, up := behind(t, Config{}, replay(200, jsonType, c.answered))
			answer := f.Do("POST", embeddings, alice, `{"model":"fake/demo-1",`+c.format+`"input":["a","b"],"dimensions": 2}`)
			if answer.Status != 200 || string(answer.Body) != c.want {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			if want := `/v1/embeddings {"model":"demo-1",` + c.format + `"input":["a","b"],"dimensions": 2}`; up.last() != want {
				t.Errorf("sent %s", up.last())
			}
		})
	}
}

func TestModelsOfEmbeddingsDoNotChat(t *testing.T) {
	f, _ := behind(t, Config{Upstreams: []Upstream{{Name: "lab", BaseURL: "http://127.0.0.1:1/v1", DefaultModel: "m", EmbeddingModels: []string{"vectors-1"}}}},
		replay(200, jsonType, `{"data":[]}`))
	if got := member(f.Do("POST", completions, alice, `{"model":"vectors-1","messages":[{"role":"user","content":"hi"}]}`).JSON(t), "error.code"); got != "model_not_found" {
		t.Errorf("chat: %s", got)
	}
	for _, model := range []string{"vectors-1", "lab/vectors-1"} {
		if got := member(f.Do("POST", embeddings, alice, `{"model":"`+model+`","input":"x"}`).JSON(t), "error.code"); got != "provider_unavailable" {
			t.Errorf("embeddings: %s", got) // nobody is at the address: it was asked
		}
	}
	var offered []string
	for _, m := range f.module.EmbeddingModels() {
		offered = append(offered, m.ID)
	}
	if strings.Join(offered, " ") != "vectors-1" {
		t.Errorf("offered %v", offered)
	}
}

func TestBadEmbeddingsAreRefused(t *testing.T) {
	answers := map[string]string{"html": "<html>", "no list": `{"embedding":[1]}`, "an error": `{"error":{"message":"` + testKey + `"}}`, "half": `{"data":[`}
	for name, answered := range answers {
		t.Run(name, func(t *testing.T) {
			f, _ := behind(t, Config{}, replay(200, jsonType, answered))
			answer := f.Do("POST", embeddings, alice, `{"model":"demo-1","input":"x"}`)
			if answer.Status < 502 || strings.Contains(string(answer.Body), testKey) {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
	f := serve(t, Config{}, echoing("own", "own-1"))
	for body, want := range map[string]string{
		`{"input":"x"}`: "model",
		`{"model":"own-1","input":"x","MODEL":"big"}`:            "model",
		`{"model":"own-1"}`:                                      "input",
		`{"model":"own-1","input":5}`:                            "input",
		`{"model":"own-1","input":"x"}`:                          "model",
		`{"model":"gpt-9","input":["x"]}`:                        "model",
		`{"model":"own-1","input":"x","encoding_format":"int8"}`: "encoding_format",
	} {
		answer := f.Do("POST", embeddings, alice, body)
		if answer.Status/100 != 4 || member(answer.JSON(t), "error.param") != want {
			t.Errorf("%s: %d %s", body, answer.Status, answer.Body)
		}
	}
	if answer := f.Do("POST", embeddings, testkit.Nobody, `{"model":"own-1","input":"x"}`); answer.Status != 401 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}
