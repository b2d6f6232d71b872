package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// google plays the service: it reads calls as the real one does and answers
// with one frame of sound for each character, unless answer says otherwise.
type google struct {
	*httptest.Server
	answer func(w http.ResponseWriter, piece string) bool // true = answered

	mu    sync.Mutex
	calls []googleCall
}

// googleCall is what a call asks for.
type googleCall struct {
	Text, Language string
	Slow           bool
}

func newGoogle(t *testing.T) *google {
	g := &google{answer: func(http.ResponseWriter, string) bool { return false }}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, err := readGoogleCall(r)
		if err != nil {
			t.Error(err)
			http.Error(w, "bad call", http.StatusBadRequest)
			return
		}
		g.mu.Lock()
		g.calls = append(g.calls, call)
		g.mu.Unlock()
		if !g.answer(w, call.Text) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = io.WriteString(w, gttsReply(gttsEntry(mp3Frames(len(call.Text)))))
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func readGoogleCall(r *http.Request) (googleCall, error) {
	var call googleCall
	if r.Method != http.MethodPost || r.URL.Path != gttsPath || r.Header.Get("Referer") == "" || !strings.HasPrefix(r.UserAgent(), "Mozilla/5.0 (") {
		return call, fmt.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	var outer [][][]any
	if err := json.Unmarshal([]byte(r.FormValue("f.req")), &outer); err != nil {
		return call, err
	}
	envelope := outer[0][0]
	if len(envelope) != 4 || envelope[0] != "jQ1olc" || envelope[2] != nil || envelope[3] != "generic" {
		return call, fmt.Errorf("envelope %v", envelope)
	}
	var inner []any
	if err := json.Unmarshal([]byte(envelope[1].(string)), &inner); err != nil {
		return call, err
	}
	if len(inner) != 4 || inner[3] != "null" {
		return call, fmt.Errorf("inner %v", inner)
	}
	call.Text, _ = inner[0].(string)
	call.Language, _ = inner[1].(string)
	call.Slow = inner[2] == true
	return call, nil
}

// newTestGTTS returns a provider for the fake, whose waits only move the clock.
func newTestGTTS(t *testing.T, g *google) (*gtts, *testkit.Clock) {
	t.Helper()
	clock := testkit.NewClock()
	provider, err := newGTTS(GTTSConfig{APIURL: g.URL}, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	provider.pace.wait = func(_ context.Context, d time.Duration) error {
		clock.Advance(d)
		return nil
	}
	t.Cleanup(func() { _ = provider.close(t.Context()) })
	return provider, clock
}

// planned returns the utterance that a model of the provider makes of a request.
func planned(t *testing.T, p provider, r Request) utterance {
	t.Helper()
	if r.Speed == 0 {
		r.Speed = 1
	}
	c := &catalog{order: []provider{p}, all: []provider{p}, convertible: noConversion}
	ways, err := c.plan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return ways[0]
}

func TestGTTSSpeaksPieceByPiece(t *testing.T) {
	g := newGoogle(t)
	provider, clock := newTestGTTS(t, g)
	began := clock.Now()
	text := "Un texto con <eñe> & \"comillas\" que pasa de los cien caracteres, y por eso se corta. Después sigue otra frase más."
	made, err := provider.speak(t.Context(), planned(t, provider, Request{Text: text, Language: "es-ES"}))
	if err != nil {
		t.Fatal(err)
	}
	var want []googleCall
	frames := 0
	for _, piece := range gttsPieces(text) {
		want = append(want, googleCall{Text: piece, Language: "es"})
		frames += len(piece)
	}
	if diff := cmp.Diff(want, g.calls); diff != "" || len(want) < 2 {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	info, err := audio.Inspect(made.sound, audio.MP3)
	if err != nil || info.Frames != frames || made.status != 200 {
		t.Errorf("%+v %v, want %d frames", info, err, frames)
	}
	if waited := clock.Now().Sub(began); waited != time.Duration(len(want)-1)*gttsGap {
		t.Errorf("waited %v for %d pieces", waited, len(want))
	}
}

func TestGTTSModels(t *testing.T) {
	g := newGoogle(t)
	provider, _ := newTestGTTS(t, g)
	module := newBench(t, provider)
	server := testkit.Serve(t, module.Mount)
	t.Run("slow", func(t *testing.T) {
		answer := server.Do("POST", "/speech/generate", testkit.User(1), map[string]any{"text": "Hola", "language": "es", "model": "gtts-slow"})
		got := answer.JSON(t)
		facts, _ := got["metadata"].(map[string]any)
		if answer.Status != 201 || got["model"] != "gtts-slow" || facts["provider"] != "gtts" || got["voice"] != nil || got["duration_seconds"] != 0.096 {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
		if key, _ := got["s3_key"].(string); !strings.HasSuffix(key, "/audio/output.mp3") {
			t.Errorf("s3_key %v", got["s3_key"])
		}
		if last := g.calls[len(g.calls)-1]; !last.Slow || last.Text != "Hola" {
			t.Errorf("call %+v", last)
		}
	})
	before := len(g.calls)
	for name, test := range map[string]struct {
		body  map[string]any
		wrong string
	}{
		"a language it lacks":  {map[string]any{"text": "x", "model": "gtts", "language": "tlh"}, "language unsupported_language"},
		"another speed":        {map[string]any{"text": "x", "model": "gtts", "speed": 2}, "speed unsupported_speed"},
		"another format":       {map[string]any{"text": "x", "model": "gtts", "format": "wav"}, "format unsupported_format"},
		"an accent elsewhere":  {map[string]any{"text": "x", "model": "gtts", "voice": "co.uk"}, "voice unknown_voice"},
		"only marks and signs": {map[string]any{"text": "(¿?)", "model": "gtts"}, "text nothing_to_say"},
		"too many pieces":      {map[string]any{"text": strings.Repeat("a; ", 201), "model": "gtts"}, "text too_long"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			answer := server.Do("POST", "/speech/generate", testkit.User(1), test.body)
			if got := problems(t, answer); answer.Status != 422 || !slices.Equal(got, []string{test.wrong}) {
				t.Errorf("%d %v", answer.Status, got)
			}
		})
	}
	if len(g.calls) != before {
		t.Error("a refused request was sent")
	}
}

func TestGTTSFailures(t *testing.T) {
	status := func(code int, header ...string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	say := func(body string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool {
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	tests := map[string]struct {
		answer  func(http.ResponseWriter, string) bool
		code    string
		kind    fault.Kind
		blocked bool
	}{
		"sent to the sorry page": {status(302, "Location", "https://www.google.com/sorry/index?q=x"), "provider_blocked", fault.Unavailable, true},
		"too many requests":      {status(429), "provider_blocked", fault.Unavailable, true},
		"forbidden":              {status(403), "provider_blocked", fault.Unavailable, true},
		"consent page":           {say("<!doctype html><title>Before you continue</title>"), "provider_blocked", fault.Unavailable, true},
		"not found":              {status(404), "provider_model_not_found", fault.BadUpstream, false},
		"gone":                   {status(410), "provider_retired", fault.BadUpstream, false},
		"fault of theirs":        {status(503, "Retry-After", "7"), "provider_unavailable", fault.Unavailable, false},
		"refused":                {say(gttsReply(`["wrb.fr","jQ1olc",null,null,null,[3],"generic"]`)), "provider_refused_input", fault.Invalid, false},
		"rejected call":          {say(gttsReply(`["er",null,null,null,null,405]`)), "provider_answer_unreadable", fault.BadUpstream, false},
		"garbage":                {say("\x00\x01garbage"), "provider_answer_unreadable", fault.BadUpstream, false},
		"sound that is none":     {say(gttsReply(gttsEntry([]byte("not an mp3")))), "provider_wrong_media", fault.BadUpstream, false},
		"too much":               {say(strings.Repeat("x", gttsReplyLimit+1)), "provider_answer_too_large", fault.BadUpstream, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			g.answer = test.answer
			provider, clock := newTestGTTS(t, g)
			u := planned(t, provider, Request{Text: "secret words"})
			_, err := provider.speak(t.Context(), u)
			var failed *fault.Error
			if !errors.As(err, &failed) || failed.Code != test.code || failed.Kind != test.kind {
				t.Fatalf("%v, want %s", err, test.code)
			}
			if !strings.Contains(failed.Detail, `"gtts"`) || strings.Contains(err.Error(), "secret") {
				t.Errorf("says %v", err)
			}
			g.answer = func(http.ResponseWriter, string) bool { return false }
			clock.Advance(gttsCoolDown - time.Minute)
			_, again := provider.speak(t.Context(), u)
			if !test.blocked {
				if again != nil || len(g.calls) != 2 {
					t.Errorf("the next call: %v after %d calls", again, len(g.calls))
				}
				return
			}
			var blocked *fault.Error
			if !errors.As(again, &blocked) || blocked.Code != "provider_blocked" || blocked.RetryAfter <= 0 || blocked.RetryAfter > time.Minute+time.Second {
				t.Errorf("in the cool-down: %v", again)
			}
			if len(g.calls) != 1 {
				t.Errorf("%d calls in the cool-down", len(g.calls)-1)
			}
			clock.Advance(2 * time.Minute)
			if _, err := provider.speak(t.Context(), u); err != nil {
				t.Errorf("after the cool-down: %v", err)
			}
		})
	}
}

func TestGTTSStopsWhenTheCallerLeaves(t *testing.T) {
	g := newGoogle(t)
	provider, _ := newTestGTTS(t, g)
	ctx, leave := context.WithCancel(t.Context())
	arrived, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	g.answer = func(w http.ResponseWriter, _ string) bool {
		_ = http.NewResponseController(w).Flush()
		close(arrived)
		<-over // a handler that ended with ctx would race the client to the end of its answer
		return true
	}
	go func() {
		<-arrived
		leave()
	}()
	if _, err := provider.speak(ctx, planned(t, provider, Request{Text: "x"})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestGTTSTurnsAwayWhatItCannotQueue(t *testing.T) {
	provider, _ := newTestGTTS(t, newGoogle(t))
	for range gttsMostWaiting {
		provider.places <- struct{}{}
	}
	_, err := provider.speak(t.Context(), planned(t, provider, Request{Text: "x"}))
	var busy *fault.Error
	if !errors.As(err, &busy) || busy.Code != "provider_busy" || busy.RetryAfter == 0 {
		t.Errorf("%v", err)
	}
}

func TestGTTSAccentChoosesTheHost(t *testing.T) {
	provider, err := newGTTS(GTTSConfig{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		request              Request
		host, language, says string
	}{
		{Request{}, "translate.google.com", "en", ""},
		{Request{Language: "en-GB"}, "translate.google.co.uk", "en", "co.uk"},
		{Request{Language: "en-uk"}, "translate.google.co.uk", "en", "co.uk"},
		{Request{Voice: "com.au"}, "translate.google.com.au", "en", "com.au"},
		{Request{Voice: "ca", Language: "fr"}, "translate.google.ca", "fr", "ca"},
		{Request{Language: "fr-CA"}, "translate.google.com", "fr-CA", ""},
		{Request{Language: "pt-BR"}, "translate.google.com.br", "pt", "com.br"},
		{Request{Language: "pt-PT"}, "translate.google.com", "pt-PT", ""},
		{Request{Language: "es"}, "translate.google.com", "es", ""},
	} {
		test.request.Text = "x"
		u := planned(t, provider, test.request)
		request, err := provider.request(t.Context(), "x", u)
		if err != nil || request.URL.Host != test.host || u.language != test.language || u.voice != test.says {
			t.Errorf("%+v: %v %s %s", test.request, request.URL, u.language, u.voice)
		}
	}
	for _, bad := range []string{"evil.com/", "com.evil.org", "@x", "COM", ""} {
		if at := provider.address(bad); !strings.HasPrefix(at, gttsDefaultURL+"/") {
			t.Errorf("%q leads to %s", bad, at)
		}
	}
}

func TestPaceKeepsCallsApartAndHonoursTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(time.Second, time.Now)
		began := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var at []time.Duration
		for range 5 {
			wg.Go(func() {
				_ = p.do(t.Context(), func() error {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Since(began))
					return nil
				})
			})
		}
		wg.Wait()
		want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.do(ctx, func() error { t.Error("called"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the gap: %v", err)
		}
		p.turn <- struct{}{}
		if err := p.do(ctx, func() error { t.Error("called"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the turn: %v", err)
		}
	})
}
