package speech

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
)

const testKey = "sk-very-secret"

// newTestOpenAI returns a provider for an upstream that serve plays.
func newTestOpenAI(t *testing.T, change func(u *Upstream), serve http.HandlerFunc) *openAI {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	upstream := Upstream{
		Name: "server", BaseURL: server.URL + "/v1/", APIKey: testKey, DefaultModel: "tts", Models: []string{"tts", "deep/voice"},
		Limits: outbound.Limits{FirstByte: 5 * time.Second, Idle: 5 * time.Second, Total: 10 * time.Second, MaxBytes: 64 << 10},
	}
	if change != nil {
		change(&upstream)
	}
	provider, err := newOpenAI(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.close(t.Context()) })
	return provider
}

func TestOpenAISendsWhatTheProtocolNames(t *testing.T) {
	tests := map[string]struct {
		change  func(u *Upstream)
		request Request
		want    map[string]any
	}{
		"defaults": {nil, Request{}, map[string]any{"model": "tts", "input": "x", "voice": "alloy", "response_format": "mp3"}},
		"everything": {nil, Request{Model: "server/deep/voice", Voice: "verse", Speed: 1.5, Format: audio.WAV},
			map[string]any{"model": "deep/voice", "input": "x", "voice": "verse", "response_format": "wav", "speed": 1.5}},
		"own voices": {func(u *Upstream) { u.Voices = []string{"ann", "bob"} }, Request{Model: "server"},
			map[string]any{"model": "tts", "input": "x", "voice": "ann", "response_format": "mp3"}},
		"kokoro": {func(u *Upstream) { u.Type = typeKokoro }, Request{},
			map[string]any{"model": "tts", "input": "x", "voice": "af_heart", "response_format": "mp3", "stream": false}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			provider := newTestOpenAI(t, test.change, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/audio/speech" || r.Header.Get("Authorization") != "Bearer "+testKey || r.Header.Get("X-Request-Id") != "request-1" {
					t.Errorf("%s %v", r.URL, r.Header)
				}
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				if got["response_format"] == "wav" {
					_, _ = w.Write(wavSound(t, time.Second))
					return
				}
				_, _ = w.Write(mp3Frames(10))
			})
			test.request.Text = "x"
			ctx := identity.WithRequestID(t.Context(), "request-1")
			made, err := provider.speak(ctx, planned(t, provider, test.request))
			if err != nil || len(made.sound) == 0 || made.status != 200 {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenAIRepairsAStreamedHeader(t *testing.T) {
	sound := wavSound(t, time.Second)
	streamed := append([]byte(nil), sound...)
	binary.LittleEndian.PutUint32(streamed[4:], 0xffffffff)
	binary.LittleEndian.PutUint32(streamed[40:], 0xffffffff)
	provider := newTestOpenAI(t, nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(streamed) })
	made, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x", Format: audio.WAV}))
	if diff := cmp.Diff(sound, made.sound); err != nil || diff != "" {
		t.Errorf("%v, header % x", err, made.sound[:min(44, len(made.sound))])
	}
}

func TestOpenAIRefusesBeforeCalling(t *testing.T) {
	upstream := newTestOpenAI(t, func(u *Upstream) { u.Voices = []string{"ann"}; u.MaxCharacters = 10 }, func(http.ResponseWriter, *http.Request) {
		t.Error("called")
	})
	for name, test := range map[string]struct {
		request Request
		wrong   string
	}{
		"unknown voice":      {Request{Text: "x", Voice: "zed"}, "unknown_voice"},
		"unknown model":      {Request{Text: "x", Model: "server/other"}, "unknown_model"},
		"more than it takes": {Request{Text: "eleven char"}, "too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			test.request.Speed = 1
			c := &catalog{order: []provider{upstream}, all: []provider{upstream}, convertible: noConversion}
			_, err := c.plan(t.Context(), test.request)
			var refused *fault.Error
			if !errors.As(err, &refused) || len(refused.Fields) != 1 || refused.Fields[0].Code != test.wrong {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestOpenAIFailures(t *testing.T) {
	failing := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	answering := func(contentType string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body)
		}
	}
	echoed := `{"error":{"message":"Incorrect API key ` + testKey + ` for input secret words","code":"invalid_api_key"}}`
	tests := map[string]struct {
		serve http.HandlerFunc
		code  string
	}{
		"401 that echoes the key": {failing(401, echoed), "provider_credentials_refused"},
		"402":                     {failing(402, ""), "provider_out_of_credit"},
		"410":                     {failing(410, ""), "provider_retired"},
		"429":                     {failing(429, ""), "provider_rate_limited"},
		"429 for money":           {failing(429, `{"error":{"code":"insufficient_quota"}}`), "provider_out_of_credit"},
		"500":                     {failing(500, "<html>"), "provider_unavailable"},
		"400":                     {failing(400, `{"detail":"secret words"}`), "provider_refused_input"},
		"redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.invalid/", http.StatusFound)
		}, "provider_redirected"},
		"html":                  {answering("text/html", []byte("<html>secret words</html>")), "provider_wrong_media"},
		"json error with 200":   {answering("application/json", []byte(`{"error":"secret words"}`)), "provider_wrong_media"},
		"sound labelled json":   {answering("application/json", mp3Frames(4)), "provider_wrong_media"},
		"garbage":               {answering("audio/mpeg", []byte("\x01\x02garbage of secret words")), "provider_wrong_media"},
		"another format":        {answering("audio/mpeg", wavSound(t, time.Second)), "provider_wrong_media"},
		"nothing":               {answering("audio/mpeg", nil), "provider_wrong_media"},
		"more than is accepted": {answering("audio/mpeg", mp3Frames(400)), "provider_answer_too_large"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(mp3Frames(4))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "provider_cut_off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			provider := newTestOpenAI(t, nil, test.serve)
			_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "secret words"}))
			if fault.CodeOf(err) != test.code {
				t.Fatalf("%v, want %s", err, test.code)
			}
			if text := err.Error(); strings.Contains(text, "secret") || !strings.Contains(text, `"server"`) {
				t.Errorf("says %s", text)
			}
		})
	}
}

func TestOpenAIThatFallsSilentIsGivenUp(t *testing.T) {
	brief := func(u *Upstream) { u.Limits.Idle = 50 * time.Millisecond }
	provider := newTestOpenAI(t, brief, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(mp3Frames(4))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"}))
	if fault.CodeOf(err) != "provider_timeout" {
		t.Errorf("%v", err)
	}
}

func TestOpenAIUnreachable(t *testing.T) {
	provider := newTestOpenAI(t, func(u *Upstream) { u.BaseURL = "http://127.0.0.1:1/v1" }, nil)
	_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"}))
	if fault.CodeOf(err) != "provider_unavailable" {
		t.Errorf("%v", err)
	}
}

func TestOpenAIStopsWhenTheCallerLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	provider := newTestOpenAI(t, nil, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(mp3Frames(4))
		_ = http.NewResponseController(w).Flush()
		leave()
		<-r.Context().Done()
		close(stopped)
	})
	if _, err := provider.speak(ctx, planned(t, provider, Request{Text: "x"})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-stopped
}

func TestStatusOfFailures(t *testing.T) {
	provider := newTestOpenAI(t, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(402) })
	b := newBench(t, provider)
	if _, err := b.service.Generate(t.Context(), ask("x")); err == nil {
		t.Fatal("no failure")
	}
	if c := b.mustHaveFailed(t, StatusFailed, "provider_out_of_credit"); c.StatusCode != 402 || c.Provider != "server" || c.Model != "server/tts" {
		t.Errorf("%+v", c)
	}
}
