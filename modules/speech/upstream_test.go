package speech

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

func TestTheOperatorsHeadersAreSentWithEveryRequest(t *testing.T) {
	provider := newTestOpenAI(t, func(u *Upstream) {
		u.APIKey, u.Headers = "", outbound.Headers{"x-team": "red", "authorization": "Custom " + testKey}
	}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Team") != "red" || r.Header.Get("Authorization") != "Custom "+testKey {
			t.Error(r.Header)
		}
		_, _ = w.Write(mp3Frames(4))
	})
	if _, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"})); err != nil {
		t.Error(err)
	}
	asked := http.Header{}
	endpoint := provider.endpoint()
	endpoint.Authorize(asked)
	if asked.Get("X-Team") != "red" || !endpoint.HasKey {
		t.Errorf("the doctor asks with %v", asked)
	}
}

func TestTimeoutsComeBeforeThoseOfLimits(t *testing.T) {
	provider := newTestOpenAI(t, func(u *Upstream) { u.Timeouts = outbound.Timeouts{FirstByte: 50 * time.Millisecond} },
		func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the caller left
			<-r.Context().Done()
		})
	if _, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"})); fault.CodeOf(err) != "provider_timeout" {
		t.Error(err)
	}
}

func TestGTTSUnderANameOfItsOwn(t *testing.T) {
	g := newGoogle(t)
	var sent http.Header
	g.answer = func(w http.ResponseWriter, piece string) bool {
		if piece == "blocked" {
			http.Error(w, "", http.StatusTooManyRequests)
		}
		return piece == "blocked"
	}
	g.Config.Handler = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { sent = r.Header; next.ServeHTTP(w, r) })
	}(g.Config.Handler)
	module, err := New(Config{
		Providers: []string{"proxied"},
		Upstreams: []Upstream{{Name: "proxied", Type: typeGTTS, BaseURL: g.URL, Headers: outbound.Headers{"x-team": "red"}, Prices: []Price{{Characters: 2}}}},
	}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close(t.Context()) })
	for name, slow := range map[string]bool{"": false, "proxied": false, "proxied/gtts": false, "proxied/gtts-slow": true} {
		ways, err := module.service.catalog.plan(t.Context(), Request{Text: "hello", Speed: 1, Model: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ways[0].provider.speak(t.Context(), ways[0]); err != nil {
			t.Fatal(err)
		}
		if last := g.calls[len(g.calls)-1]; last.Slow != slow || sent.Get("X-Team") != "red" || ways[0].cost != 10e-6 {
			t.Errorf("%q: %+v %v costs %v", name, last, sent, ways[0].cost)
		}
	}
	ways, err := module.service.catalog.plan(t.Context(), Request{Text: "blocked", Speed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ways[0].provider.speak(t.Context(), ways[0]); fault.CodeOf(err) != "provider_blocked" || !strings.Contains(err.Error(), `"proxied"`) {
		t.Error(err)
	}
}

func TestAnAccentOfGTTSIsAnotherHostAndGetsNoHeaders(t *testing.T) {
	provider, err := newNamedGTTS(Upstream{Name: "mine", Type: typeGTTS, Headers: outbound.Headers{"x-team": testKey}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.close(t.Context()) })
	for accent, want := range map[string]string{"com": testKey, "co.uk": ""} {
		request, err := provider.request(t.Context(), "x", utterance{model: "mine/gtts", language: "en", voice: accent})
		if err != nil || request.URL.Host != "translate.google."+accent || request.Header.Get("X-Team") != want {
			t.Errorf("%s: %v %v", accent, request, err)
		}
	}
}
