package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/outbound"
)

// remote is a chat provider whose answers the test steps through.
type remote struct {
	*httptest.Server
	step      chan struct{} // one more word of the streamed answer
	cancelled chan struct{} // the product gave the call up
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	r := &remote{step: make(chan struct{}), cancelled: make(chan struct{}, 8)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"one", " two", " three"} {
			select {
			case <-r.step:
			case <-request.Context().Done():
				r.cancelled <- struct{}{}
				return
			}
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
			_ = http.NewResponseController(w).Flush()
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(r.Close)
	return r
}

func withRemote(url string) func(*config.Config) {
	return func(c *config.Config) {
		c.OpenAI.BaseURL, c.OpenAI.APIKey, c.OpenAI.DefaultModel = url, "sk-remote", "demo-1"
	}
}

// openStream begins a streamed answer and returns its lines.
func (s *server) openStream(ctx context.Context, token string) *bufio.Scanner {
	s.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/chat", strings.NewReader(`{"message":"count","stream":true}`))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("status %d", response.StatusCode)
	}
	return bufio.NewScanner(response.Body)
}

func readUntil(t *testing.T, lines *bufio.Scanner, part string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), part) {
			return
		}
	}
	t.Fatalf("the stream ended without %q: %v", part, lines.Err())
}

func TestAStopLetsAnOpenStreamFinish(t *testing.T) {
	provider := newRemote(t)
	s := boot(t, withRemote(provider.URL))
	token, _ := s.newUser("ada")
	go func() { provider.step <- struct{}{} }()
	lines := s.openStream(t.Context(), token)
	readUntil(t, lines, `"one"`)

	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	for deadline := time.Now().Add(5 * time.Second); s.app.operations.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it still calls itself ready while it stops")
		}
	}
	provider.step <- struct{}{}
	provider.step <- struct{}{}
	readUntil(t, lines, "event: done")
	readUntil(t, lines, `"content":"one two three"`)
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop after the last stream has ended")
	}
}

func TestAClientThatLeavesKeepsWhatCame(t *testing.T) {
	provider := newRemote(t)
	s := boot(t, withRemote(provider.URL))
	token, _ := s.newUser("ada")
	ctx, leave := context.WithCancel(t.Context())
	go func() { provider.step <- struct{}{} }()
	readUntil(t, s.openStream(ctx, token), `"one"`)
	leave()
	select {
	case <-provider.cancelled:
	case <-time.After(5 * time.Second):
		t.Fatal("the provider was not cancelled")
	}
	session := list(s.do("GET", "/chat/sessions", token, nil).want(200)["sessions"])[0]["id"].(string)
	var answer object
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		messages := list(s.do("GET", "/chat/sessions/"+session, token, nil).want(200)["messages"])
		if answer = messages[1]; answer["status"] != "processing" {
			break
		}
	}
	if answer["status"] != "cancelled" || answer["content"] != "one" {
		t.Errorf("kept %v", answer)
	}
	if usage := s.do("GET", "/analytics/user/me", token, nil).want(200); usage["failed_requests"] != 1.0 || usage["total_requests"] != 1.0 {
		t.Errorf("accounted %v", usage)
	}
}

func TestAProviderThatFailsIsNamedAndNothingStandsIn(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"bad key %s","code":"invalid_api_key"}}`, r.Header.Get("Authorization"))
	}))
	defer broken.Close()
	s := boot(t, withRemote(broken.URL))
	token, _ := s.newUser("ada")
	refused := s.do("POST", "/chat", token, object{"message": "hello"})
	problem := refused.want(502)
	if problem["code"] != "provider_credentials_refused" || problem["provider"] != "openai" || strings.Contains(string(refused.body), "sk-remote") {
		t.Errorf("%s", refused.body)
	}
	s.stop()
	if strings.Contains(s.log.String(), "sk-remote") {
		t.Error("the log holds the provider's key")
	}

	fallback := boot(t, withRemote(broken.URL), func(c *config.Config) { c.Chat.Providers = []string{"openai", "local"} })
	token, _ = fallback.newUser("ada")
	if answer := fallback.do("POST", "/chat", token, object{"message": "hello"}).want(200); answer["provider"] != "local" || answer["model"] != "local/guide" {
		t.Errorf("the ordered fallback answered as %v %v", answer["provider"], answer["model"])
	}
}

// failing is a provider whose first answers are failures.
type failing struct {
	*httptest.Server
	asked atomic.Int64
}

func newFailing(t *testing.T, status int, times int64) *failing {
	t.Helper()
	f := &failing{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if f.asked.Add(1) <= times {
			w.WriteHeader(status)
		}
		fmt.Fprint(w, `{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}]}`)
	}))
	t.Cleanup(f.Close)
	return f
}

func TestAnUpstreamThatFailsOnceIsAskedAgainAndTheAnswerSaysSo(t *testing.T) {
	provider := newFailing(t, 503, 4)
	s := boot(t, withRemote(provider.URL))
	token, _ := s.newUser("ada")
	failed := s.do("POST", "/chat", token, object{"message": "hello"})
	if problem := failed.want(503); problem["code"] != "provider_unavailable" || problem["attempts"] != 3.0 || failed.header.Get("Llmhist-Retries") != "2" {
		t.Errorf("%v %s", failed.header, failed.body)
	}
	helped := s.do("POST", "/chat", token, object{"message": "hello"})
	if answer := helped.want(200); answer["content"] != "Hi." || helped.header.Get("Llmhist-Retries") != "1" {
		t.Errorf("%v %s", helped.header, helped.body)
	}
	if untroubled := s.do("POST", "/chat", token, object{"message": "hello"}); untroubled.header.Get("Llmhist-Retries") != "" {
		t.Errorf("%v", untroubled.header)
	}
}

func TestAnUpstreamThatFailsRepeatedlyIsNamedAndPassedOver(t *testing.T) {
	provider := newFailing(t, 500, math.MaxInt64)
	s := boot(t, func(c *config.Config) {
		c.Metrics.Token = "metrics"
		once := outbound.Policy{Retries: -1}
		c.Chat.Upstreams = []chat.Upstream{{Name: "acme", BaseURL: provider.URL, DefaultModel: "m", Limits: once}}
		c.Chat.Providers = []string{"acme", "local"}
		c.Image.Upstreams = []image.Upstream{{Name: "painter", BaseURL: provider.URL, DefaultModel: "p"}}
		c.Speech.Upstreams = []speech.Upstream{{Name: "speaker", BaseURL: provider.URL, DefaultModel: "s"}}
		c.Speech.Providers = []string{"local", "speaker", "gtts"}
	})
	token, _ := s.newUser("ada")
	for range 12 {
		if answer := s.do("POST", "/chat", token, object{"message": "hello"}).want(200); answer["provider"] != "local" {
			t.Fatalf("answered by %v", answer["provider"])
		}
	}
	if provider.asked.Load() != 10 {
		t.Errorf("it was asked %d times", provider.asked.Load())
	}
	alone := s.do("POST", "/chat", token, object{"message": "hello", "model": "m"})
	if problem := alone.want(503); problem["code"] != "provider_resting" || problem["provider"] != "acme" || alone.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", alone.header, alone.body)
	}
	ready := s.do("GET", "/readyz", "", nil).want(200)
	if notices := list(ready["notices"]); ready["status"] != "ready" || len(notices) != 1 || notices[0]["name"] != "chat/acme" {
		t.Errorf("ready says %v", ready)
	}
	metrics := s.metrics()
	for _, want := range []string{
		`llmhist_provider_requests_total{outcome="failed",provider="acme",service="chat"} 10`,
		`llmhist_provider_requests_total{outcome="resting",provider="acme",service="chat"} 3`,
		`llmhist_provider_requests_total{outcome="answered",provider="painter",service="image"} 0`,
		`llmhist_provider_retries_total{provider="acme",service="chat"} 0`,
		`llmhist_provider_in_flight{provider="speaker",service="speech"} 0`,
		`llmhist_provider_waiting{provider="gtts",service="speech"} 0`,
		`llmhist_provider_breaker_open{provider="acme",service="chat"} 1`,
		`llmhist_provider_breaker_open{provider="painter",service="image"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics miss %s", want)
		}
	}
}
