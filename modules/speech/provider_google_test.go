package speech

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/outbound"
	"llmhist/platform/probe"
)

// newTestGoogleCloud returns a provider for a service that serve plays.
func newTestGoogleCloud(t *testing.T, voices []string, serve http.HandlerFunc) *googleCloud {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	provider, err := newGoogleCloud(Upstream{
		Name: "server", Type: typeGoogle, BaseURL: server.URL + "/v1", APIKey: testKey, Voices: voices,
		Limits: outbound.Limits{Policy: outbound.Policy{Retries: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.close(t.Context()) })
	return provider
}

func audioContent(sound []byte) string {
	return `{"audioContent":"` + base64.StdEncoding.EncodeToString(sound) + `"}`
}

func TestGoogleCloudSendsWhatTheProtocolNames(t *testing.T) {
	own := []string{"en-US-Neural2-C", "en-GB-Neural2-A"}
	voiced := func(language, name string) map[string]any {
		return map[string]any{"languageCode": language, "name": name}
	}
	mp3 := map[string]any{"audioEncoding": "MP3", "speakingRate": 1.0}
	for name, test := range map[string]struct {
		voices  []string
		request Request
		voice   map[string]any
		config  map[string]any
	}{
		"Google's choice":    {nil, Request{Language: "pt-br"}, map[string]any{"languageCode": "pt-BR"}, mp3},
		"any voice":          {nil, Request{Voice: "de-DE-Chirp3-HD-Kore"}, voiced("de-DE", "de-DE-Chirp3-HD-Kore"), mp3},
		"the first voice":    {own, Request{}, voiced("en-US", "en-US-Neural2-C"), mp3},
		"that of the region": {own, Request{Language: "en-GB"}, voiced("en-GB", "en-GB-Neural2-A"), mp3},
		"everything": {own, Request{Language: "en", Voice: "en-GB-Neural2-A", Speed: 1.5, Format: audio.WAV}, voiced("en-GB", "en-GB-Neural2-A"),
			map[string]any{"audioEncoding": "LINEAR16", "speakingRate": 1.5}},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			provider := newTestGoogleCloud(t, test.voices, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.String() != "/v1/text:synthesize" || r.Header.Get("X-Goog-Api-Key") != testKey || r.Header.Get("Authorization") != "" {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				sound := mp3Frames(10)
				if test.request.Format == audio.WAV {
					sound = wavSound(t, time.Second)
				}
				answerText(200, audioContent(sound))(w, r)
			})
			test.request.Text = "x"
			made, err := provider.speak(t.Context(), planned(t, provider, test.request))
			if err != nil || len(made.sound) == 0 || made.status != 200 {
				t.Fatal(err)
			}
			want := map[string]any{"input": map[string]any{"text": "x"}, "voice": test.voice, "audioConfig": test.config}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoogleCloudRefusesBeforeCalling(t *testing.T) {
	provider := newTestGoogleCloud(t, []string{"en-US-Neural2-C"}, func(http.ResponseWriter, *http.Request) { t.Error("called") })
	for name, test := range map[string]struct {
		request Request
		code    string
	}{
		"more bytes than it takes":   {Request{Text: strings.Repeat("é", 2501)}, "too_long"},
		"faster than it speaks":      {Request{Text: "x", Speed: 2.5}, "unsupported_speed"},
		"a language without a voice": {Request{Text: "x", Language: "de"}, "unsupported_language"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.request.Speed == 0 {
				test.request.Speed = 1
			}
			if _, wrong := provider.models(t.Context())[0].plan(test.request, noConversion); len(wrong) != 1 || wrong[0].Code != test.code {
				t.Error(wrong)
			}
		})
	}
}

func TestTheDoctorAsksGoogleCloudForItsVoices(t *testing.T) {
	provider := newTestGoogleCloud(t, []string{"en-US-Neural2-C"}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/voices" || r.Header.Get("X-Goog-Api-Key") != testKey {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		answerText(200, `{"voices":[{"languageCodes":["en-US"],"name":"en-US-Neural2-C"}]}`)(w, r)
	})
	endpoint := provider.endpoint()
	voices, err := probe.List(t.Context(), "server", *endpoint)
	if err != nil || len(voices) != 1 || voices[0].ID != endpoint.Models[0] || endpoint.ModelSetting(endpoint.Models[0]) != "speech.upstreams[server].voices" {
		t.Errorf("%v %v", voices, err)
	}
}

func TestGoogleCloudFailures(t *testing.T) {
	echoed := `{"error":{"code":403,"message":"key ` + testKey + ` secret words","status":"PERMISSION_DENIED"}}`
	for name, test := range map[string]struct {
		serve http.HandlerFunc
		code  string
	}{
		"a key that it refuses": {answerText(401, echoed), "provider_credentials_refused"},
		"what the key may not":  {answerText(403, echoed), "provider_forbidden"},
		"bad input":             {answerText(400, echoed), "provider_refused_input"},
		"too many requests":     {answerText(429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`), "provider_rate_limited"},
		"an outage":             {answerText(503, "<html>secret words"), "provider_unavailable"},
		"no JSON":               {answerText(200, "secret words"), "provider_wrong_media"},
		"no sound":              {answerText(200, `{}`), "provider_wrong_media"},
		"no base64":             {answerText(200, `{"audioContent":"secret words"}`), "provider_wrong_media"},
		"garbage":               {answerText(200, audioContent([]byte("secret words"))), "provider_wrong_media"},
		"another format":        {answerText(200, audioContent(wavSound(t, time.Second))), "provider_wrong_media"},
	} {
		t.Run(name, func(t *testing.T) {
			provider := newTestGoogleCloud(t, nil, test.serve)
			_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "secret words"}))
			if fault.CodeOf(err) != test.code || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), `"server"`) {
				t.Errorf("%v, want %s", err, test.code)
			}
		})
	}
}
