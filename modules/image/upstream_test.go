package image

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"llmhist/platform/outbound"
	"llmhist/platform/testkit"
)

func TestTheOperatorsHeadersGoToTheUpstreamAlone(t *testing.T) {
	for _, kind := range []string{typeOpenAI, typePollinations} {
		t.Run(kind, func(t *testing.T) {
			var u *upstream
			u = serveUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				own := r.Header.Get("X-Team") == "red" && r.Header.Get("Api-Key") == testKey
				switch linked := r.URL.Path == "/files/1.png"; {
				case linked == own:
					t.Errorf("%s was sent %v", r.URL.Path, r.Header)
				case linked, kind == typePollinations:
					answerBytes("image/png", pngBytes(t))(w, r)
					return
				}
				answerJSON(200, `{"data":[{"url":"`+u.URL+`/files/1.png"}]}`)(w, r)
			})
			config := u.as(kind)
			config.Upstreams[0].Headers = outbound.Headers{"x-team": "red", "api-key": testKey}
			f := start(t, config)
			f.generate(testkit.User(1), nil)
			asked := http.Header{}
			f.module.Describe()[0].Endpoint.Authorize(asked)
			if asked.Get("Api-Key") != testKey {
				t.Error("the doctor asks without the headers")
			}
		})
	}
}

func TestAnAuthorizationOfTheOperatorsTakesThePlaceOfTheKey(t *testing.T) {
	u := serveUpstream(t, answerJSON(200, `{"data":[{"b64_json":"`+encoded(pngBytes(t))+`"}]}`))
	config := u.as(typeOpenAI)
	config.Upstreams[0].APIKey = ""
	config.Upstreams[0].Headers = outbound.Headers{"authorization": "Basic abc"}
	f := start(t, config)
	f.generate(testkit.User(1), nil)
	if r, _ := u.sent(); r.Header.Get("Authorization") != "Basic abc" || !f.module.Describe()[0].Endpoint.HasKey {
		t.Error(r.Header)
	}
}

func TestTimeoutsComeBeforeThoseOfLimits(t *testing.T) {
	u := serveUpstream(t, silent)
	config := u.as(typeOpenAI)
	config.Upstreams[0].Timeouts = outbound.Timeouts{FirstByte: 50 * time.Millisecond}
	config.Upstreams[0].Limits = outbound.Limits{FirstByte: time.Hour}
	f := start(t, config)
	answer := f.do("POST", "/image/generate", testkit.User(1), `{"prompt":"x"}`)
	if answer.Code() != "provider_timeout" || strings.Contains(string(answer.Body), testKey) {
		t.Errorf("%s", answer.Body)
	}
}
