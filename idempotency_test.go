package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"llmhist/config"
)

// repeat sends a request with an Idempotency-Key and returns the answer.
func (s *server) repeat(path, token, key, body string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Idempotency-Key", key)
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response, string(data)
}

func TestEverythingThatGeneratesIsRepeatedAndNotMadeAgain(t *testing.T) {
	provider := newSDKProvider(t)
	s := boot(t, withRemote(provider.URL+"/v1"), func(c *config.Config) { c.OpenAI.EmbeddingModels = []string{"vectors-1"} })
	token, id := s.newUser("ada")
	s.do("PATCH", fmt.Sprint("/admin/users/", id), s.admin(), object{"quotas": object{"chat_per_day": 6, "image_per_day": 2, "speech_per_day": 2}}).want(200)
	requests := map[string]struct {
		path, body string
		status     int
	}{
		"image":      {"/image/generate", `{"prompt":"fog","size":"64x64"}`, 201},
		"image-v1":   {"/v1/images/generations", `{"prompt":"fog","size":"64x64"}`, 200},
		"speech":     {"/speech/generate", `{"text":"Good morning.","model":"local/flite","format":"wav"}`, 201},
		"speech-v1":  {"/v1/audio/speech", `{"input":"Good morning.","voice":"slt","model":"local/flite","response_format":"wav"}`, 200},
		"chat":       {"/chat", `{"message":"hello"}`, 200},
		"stream":     {"/chat", `{"message":"hello","stream":true}`, 200},
		"chat-v1":    {"/v1/chat/completions", `{"messages":[{"role":"user","content":"hello"}]}`, 200},
		"stream-v1":  {"/v1/chat/completions", `{"messages":[{"role":"user","content":"hello"}],"stream":true}`, 200},
		"responses":  {"/v1/responses", `{"input":"hello","stream":true}`, 200},
		"embeddings": {"/v1/embeddings", `{"model":"vectors-1","input":"x"}`, 200},
	}
	for key, r := range requests {
		first, said := s.repeat(r.path, token, key, r.body)
		if first.StatusCode != r.status || first.Header.Get("Idempotency-Replayed") != "" {
			t.Fatalf("%s: %d %.200s", key, first.StatusCode, said)
		}
		second, again := s.repeat(r.path, token, key, r.body) // no quota is left for making it
		if second.StatusCode != r.status || second.Header.Get("Idempotency-Replayed") != "true" || again != said ||
			second.Header.Get("Content-Type") != first.Header.Get("Content-Type") || second.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s: %d %v\n%.300s\n%.300s", key, second.StatusCode, second.Header, said, again)
		}
	}
	if usage := s.do("GET", "/analytics/user/me", token, nil).want(200); usage["total_requests"] != float64(len(requests)) {
		t.Errorf("counted %v", usage["total_requests"])
	}
	if refused, said := s.repeat("/v1/embeddings", token, "embeddings", `{"model":"vectors-1","input":"y"}`); refused.StatusCode != 422 || !strings.Contains(said, "idempotency_key_reused") {
		t.Errorf("%d %s", refused.StatusCode, said)
	}
}
