package speech

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// piperVoices are those of the server in tests.
const piperVoices = `{"en_US-lessac-medium":{"audio":{"sample_rate":22050}},"de_DE-thorsten-high":{}}`

// newTestPiper returns a provider for a server with these routes.
func newTestPiper(t *testing.T, routes map[string]http.HandlerFunc) *piper {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, serve := range routes {
		mux.HandleFunc(pattern, serve)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	provider, err := newPiper(Upstream{
		Name: "server", Type: typePiper, BaseURL: server.URL, APIKey: testKey,
		Voices: []string{"en_US-lessac-medium", "en_GB-alan-low", "de_DE-thorsten-high"}, Limits: outbound.Limits{Policy: outbound.Policy{Retries: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.close(t.Context()) })
	return provider
}

func answerText(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestPiperSpeaksAtTheAddressItsServerHas(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		voices http.HandlerFunc // nil = the server is too old for it
	}{"today's": {"/synthesize", answerText(200, piperVoices)}, "of 2025": {"/{$}", nil}} {
		t.Run(name, func(t *testing.T) {
			var got []map[string]any
			asked := 0
			routes := map[string]http.HandlerFunc{"POST " + test.path: func(w http.ResponseWriter, r *http.Request) {
				var call map[string]any
				if err := json.NewDecoder(r.Body).Decode(&call); err != nil || r.Header.Get("Authorization") != "Bearer "+testKey {
					t.Error(err, r.Header)
				}
				got = append(got, call)
				w.Header().Set("Content-Type", "audio/wav")
				_, _ = w.Write(wavSound(t, time.Second))
			}}
			if test.voices != nil {
				routes["GET /voices"] = func(w http.ResponseWriter, r *http.Request) { asked++; test.voices(w, r) }
			}
			provider := newTestPiper(t, routes)
			for _, r := range []Request{{Text: "x"}, {Text: "y", Language: "de", Speed: 2}, {Text: "z"}} {
				made, err := provider.speak(t.Context(), planned(t, provider, r))
				if err != nil || made.status != 200 || len(made.sound) != len(wavSound(t, time.Second)) {
					t.Fatal(err)
				}
			}
			want := []map[string]any{
				{"text": "x", "voice": "en_US-lessac-medium"}, {"text": "y", "voice": "de_DE-thorsten-high", "length_scale": 0.5}, {"text": "z", "voice": "en_US-lessac-medium"},
			}
			if diff := cmp.Diff(want, got); diff != "" || test.voices != nil && asked != 2 {
				t.Errorf("asked %d times for voices (-want +got):\n%s", asked, diff)
			}
		})
	}
}

func TestPiperFindsAVoiceForTheLanguage(t *testing.T) {
	provider := newTestPiper(t, nil)
	for name, test := range map[string]struct {
		request     Request
		voice, code string
	}{
		"no language":          {Request{}, "en_US-lessac-medium", ""},
		"a region":             {Request{Language: "en-gb"}, "en_GB-alan-low", ""},
		"a region without one": {Request{Language: "de-AT"}, "de_DE-thorsten-high", ""},
		"a voice":              {Request{Voice: "de_DE-thorsten-high"}, "de_DE-thorsten-high", ""},
		"no such language":     {Request{Language: "fr"}, "", "unsupported_language"},
		"another's voice":      {Request{Language: "en", Voice: "de_DE-thorsten-high"}, "", "voice_language_mismatch"},
		"an unknown voice":     {Request{Voice: "fr_FR-siwis-low"}, "", "unknown_voice"},
	} {
		t.Run(name, func(t *testing.T) {
			test.request.Text, test.request.Speed = "x", 1
			u, wrong := provider.models(t.Context())[0].plan(test.request, noConversion)
			if len(wrong) > 0 != (test.code != "") || len(wrong) > 0 && wrong[0].Code != test.code || len(wrong) == 0 && u.voice != test.voice {
				t.Errorf("%+v %v", u, wrong)
			}
		})
	}
}

func TestPiperFailures(t *testing.T) {
	voices := answerText(200, piperVoices)
	for name, test := range map[string]struct {
		voices, speak http.HandlerFunc
		code          string
	}{
		"a voice that it lacks":   {answerText(200, `{"de_DE-thorsten-high":{}}`), nil, "provider_voice_missing"},
		"voices that are no list": {answerText(200, `"secret words"`), nil, "provider_bad_answer"},
		"voices with an error":    {answerText(500, "secret words"), nil, "provider_unavailable"},
		"an error":                {voices, answerText(500, "secret words"), "provider_unavailable"},
		"a refused key":           {voices, answerText(401, `{"error":{"message":"`+testKey+`"}}`), "provider_credentials_refused"},
		"nothing at any address":  {voices, answerText(404, ""), "provider_model_not_found"},
		"text in place of sound":  {voices, answerText(200, `{"error":"secret words"}`), "provider_wrong_media"},
		"garbage":                 {voices, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x01\x02secret words")) }, "provider_wrong_media"},
		"another format":          {voices, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(mp3Frames(4)) }, "provider_wrong_media"},
	} {
		t.Run(name, func(t *testing.T) {
			routes := map[string]http.HandlerFunc{"GET /voices": test.voices}
			if test.speak != nil {
				routes["POST /synthesize"] = test.speak
			}
			provider := newTestPiper(t, routes)
			_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "secret words"}))
			if fault.CodeOf(err) != test.code || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), `"server"`) {
				t.Errorf("%v, want %s", err, test.code)
			}
		})
	}
}
