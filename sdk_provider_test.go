package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sdkModels are the models of newSDKProvider, each with what is special in it.
var sdkModels = []string{
	"demo-1",      // answers, and calls the tool "weather" when it has one
	"slow-1",      // says one word and then nothing
	"broken-1",    // breaks off after a word
	"busy-1",      // refuses the first of each two requests with 429
	"wrong-key-1", // refuses this server's key, and repeats it
}

// newSDKProvider serves a provider as OpenAI's SDKs expect one, whose answers
// depend on the model. Its embeddings are always numbers.
func newSDKProvider(t *testing.T) *httptest.Server {
	t.Helper()
	p := &sdkProvider{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", p.complete)
	mux.HandleFunc("POST /v1/embeddings", p.embed)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

type sdkProvider struct{ busy atomic.Int64 }

type sdkRequest struct {
	Model    string
	Stream   bool
	Tools    []json.RawMessage
	Messages []struct{ Role, Content string }
}

func (p *sdkProvider) complete(w http.ResponseWriter, r *http.Request) {
	var q sdkRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
		sdkRefuse(w, http.StatusBadRequest, "bad request")
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	switch {
	case q.Model == "wrong-key-1":
		sdkRefuse(w, http.StatusUnauthorized, r.Header.Get("Authorization"))
		return
	case q.Model == "busy-1" && p.busy.Add(1)%2 == 1:
		w.Header().Set("Retry-After", "0")
		sdkRefuse(w, http.StatusTooManyRequests, "slow down")
		return
	case q.Stream:
		p.stream(w, r, q)
		return
	}
	message, reason := `{"role":"assistant","content":`+asJSON("Hi from "+q.Model+"!")+`}`, "stop"
	switch last := q.Messages[len(q.Messages)-1]; {
	case last.Role == "tool":
		message = `{"role":"assistant","content":` + asJSON("It is "+last.Content+".") + `}`
	case len(q.Tools) > 0:
		message, reason = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]}`, "tool_calls"
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":%q,"choices":[{"index":0,"message":%s,"finish_reason":%q}],"usage":%s}`,
		q.Model, message, reason, sdkUsage)
}

const sdkUsage = `{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}`

func (p *sdkProvider) stream(w http.ResponseWriter, r *http.Request, q sdkRequest) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(delta, reason string) {
		fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\"model\":%q,\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}],\"usage\":null,\"obfuscation\":\"x\"}\n\n", q.Model, delta, reason)
		_ = http.NewResponseController(w).Flush()
	}
	send(`{"role":"assistant","content":""}`, "null")
	switch {
	case q.Model == "slow-1":
		send(`{"content":"one "}`, "null")
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
		return
	case q.Model == "broken-1":
		send(`{"content":"one "}`, "null")
		panic(http.ErrAbortHandler)
	case len(q.Tools) > 0 && q.Messages[len(q.Messages)-1].Role != "tool":
		send(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null")
		send(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}`, "null")
		send(`{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}`, "null")
		send(`{}`, `"tool_calls"`)
	default:
		for _, word := range strings.SplitAfter("Hi from "+q.Model+"!", " ") {
			send(`{"content":`+asJSON(word)+`}`, "null")
		}
		send(`{}`, `"stop"`)
	}
	fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795000000,\"model\":%q,\"choices\":[],\"usage\":%s}\n\ndata: [DONE]\n\n", q.Model, sdkUsage)
}

func (p *sdkProvider) embed(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]},{"object":"embedding","index":1,"embedding":[0.25,2]}],`+
		`"model":"vectors-1","usage":{"prompt_tokens":3,"total_tokens":3}}`)
}

func sdkRefuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%s,"type":"x","param":null,"code":null}}`, asJSON(message))
}

func asJSON(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		return `""`
	}
	return string(data)
}
