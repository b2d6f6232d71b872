package image

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"llmhist/platform/testkit"
)

func TestPollinationsTakesShortPromptsAsPathAndLongOnesAsBody(t *testing.T) {
	for name, c := range map[string]struct {
		prompt string
		path   string // escaped; "" = a body
	}{
		"plain":               {"a red fox", "/image/a%20red%20fox"},
		"with separators":     {"50% a/b?c#d&e", "/image/50%25%20a%2Fb%3Fc%23d&e"},
		"in Chinese":          {"猫\n犬", "/image/%E7%8C%AB%0A%E7%8A%AC"},
		"a dot":               {".", ""},
		"two dots":            {"..", ""},
		"long":                {strings.Repeat("a", 1501), ""},
		"long when escaped":   {strings.Repeat("猫", 200), ""},
		"as long as allowed":  {strings.Repeat("a", 1500), "/image/" + strings.Repeat("a", 1500)},
		"that climbs up":      {"../../v1", "/image/..%2F..%2Fv1"},
		"that looks like one": {"https://example.com", "/image/https:%2F%2Fexample.com"},
	} {
		t.Run(name, func(t *testing.T) {
			u := serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}]}`)(w, r)
					return
				}
				answerBytes("image/png", pngBytes(t))(w, r)
			})
			f := start(t, u.as(typePollinations))
			f.generate(testkit.User(1), map[string]any{"prompt": c.prompt, "seed": 5})
			r, body := u.sent()
			if r.Header.Get("Authorization") != "Bearer "+testKey || strings.Contains(r.URL.String(), testKey) {
				t.Error("the key is not in its header alone")
			}
			if c.path == "" {
				var sent imagesRequest
				if err := json.Unmarshal([]byte(body), &sent); err != nil || sent.Prompt != c.prompt || *sent.Seed != 5 || r.URL.Path != "/v1/images/generations" {
					t.Errorf("%s %s %v", r.URL, body, err)
				}
				return
			}
			want := url.Values{"model": {"m-1"}, "width": {"64"}, "height": {"64"}, "seed": {"5"}}
			if r.Method != "GET" || r.URL.EscapedPath() != c.path || r.URL.RawQuery != want.Encode() {
				t.Errorf("%s %s", r.Method, r.URL)
			}
		})
	}
}

func TestPollinationsWithoutAKeySaysSo(t *testing.T) {
	u := serveUpstream(t, answerJSON(401, `{"success":false,"error":{"code":"UNAUTHORIZED"}}`))
	f := start(t, Config{Providers: []string{"pollinations"}, Pollinations: Pollinations{APIURL: u.URL + "/v1/"}})
	answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`)
	if answer.Code() != "provider_key_missing" || !strings.Contains(string(answer.Body), "POLLINATIONS_API_KEY") {
		t.Errorf("%s", answer.Body)
	}
	if status := f.module.Describe()[0]; !strings.Contains(status.Note, "POLLINATIONS_API_KEY") || status.Models[0] != "flux" {
		t.Errorf("%+v", status)
	}
}
