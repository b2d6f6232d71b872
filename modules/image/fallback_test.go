package image

import (
	"bytes"
	"encoding/base64"
	"fmt"
	stdimage "image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"testing"

	"llmhist/platform/testkit"
)

func upstreamAnswering(t *testing.T, name string, answer http.HandlerFunc) Upstream {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return Upstream{Name: name, BaseURL: server.URL + "/v1", Models: []string{name + "-1"}}
}

func TestAnotherProviderIsAskedOnlyWhereThatWasOrdered(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, stdimage.NewNRGBA(stdimage.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"data":[{"b64_json":%q}]}`, base64.StdEncoding.EncodeToString(picture.Bytes()))
	works := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for name, test := range map[string]struct {
		ordered  bool
		first    http.HandlerFunc
		model    string
		status   int
		provider string // who made it, or who failed
	}{
		"ordered: an outage is bridged":                 {true, status(500), "", 201, "two"},
		"ordered: a refusal of the input is the user's": {true, status(400), "", 422, "one"},
		"ordered: a named model is never replaced":      {true, status(500), "one-1", 503, "one"},
		"not ordered: nobody stands in":                 {false, status(500), "", 503, "one"},
		"not ordered: the other can still be named":     {false, status(500), "two-1", 201, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			config := Config{Upstreams: []Upstream{upstreamAnswering(t, "one", test.first), upstreamAnswering(t, "two", works)}}
			if test.ordered {
				config.Providers = []string{"one", "two"}
			}
			f := start(t, config)
			request := map[string]any{"prompt": "x", "size": "64x64"}
			if test.model != "" {
				request["model"] = test.model
			}
			answer := f.do("POST", "/image/generate", testkit.User(1), request)
			members := answer.JSON(t)
			who := members["provider"]
			if metadata, made := members["metadata"].(map[string]any); made {
				who = metadata["provider"]
			}
			if answer.Status != test.status || who != test.provider {
				t.Errorf("status %d by %v: %s", answer.Status, who, answer.Body)
			}
		})
	}
}
