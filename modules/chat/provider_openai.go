package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"llmhist/platform/outbound"
)

// openAI asks a service that speaks OpenAI's chat completions
// (https://platform.openai.com/docs/api-reference/chat): OpenAI, Azure's v1,
// Ollama, llama.cpp, LocalAI and many more.
type openAI struct {
	name      string
	models    []string
	vectors   []string // models that make embeddings
	prices    []Price
	discovery *discovery  // nil = only the configured models are offered
	base      string      // without a slash at its end
	headers   http.Header // on every request, the credential among them
	client    *outbound.Client
	explain   func(error) error // names faults of one service better; nil = as they are
}

func newOpenAI(u Upstream) *openAI {
	headers := http.Header{}
	headers.Set("Content-Type", "application/json")
	headers.Set("Accept", "text/event-stream, application/json")
	if u.APIKey != "" {
		headers.Set("Authorization", "Bearer "+u.APIKey.Reveal())
	}
	u.Headers.Set(headers)
	p := &openAI{
		name: u.Name, models: u.models(), vectors: u.EmbeddingModels, prices: u.Prices, headers: headers,
		base:   strings.TrimRight(u.BaseURL, "/"),
		client: outbound.New(u.Name, u.limits()),
	}
	if slices.Contains(u.Models, everyModel) {
		p.discovery = newDiscovery(p)
	}
	return p
}

func (p *openAI) Name() string { return p.name }

// EmbeddingModels lists the models that make embeddings and do not chat.
func (p *openAI) EmbeddingModels() []string { return p.vectors }

// Close ends idle connections.
func (p *openAI) Close() { p.client.Close() }

// Upstream returns how calls to the service go.
func (p *openAI) Upstream() outbound.Status { return p.client.Status() }

// Destination returns the host that prompts are sent to.
func (p *openAI) Destination() string {
	address, err := url.Parse(p.base)
	if err != nil {
		return "" // checked when it was configured
	}
	return address.Host
}

// Answer asks the service. The answer is read as what its content type says it
// is, whether or not a stream was asked for: some servers know only one way.
func (p *openAI) Answer(ctx context.Context, request Request, emit func(text string) error) (Result, error) {
	response, err := p.send(ctx, request)
	if err != nil {
		if p.explain != nil {
			err = p.explain(err)
		}
		return Result{}, err
	}
	defer func() { _ = response.Body.Close() }()
	read := answerReader{provider: p.name, emit: emit, hold: request.Hold}
	switch outbound.MediaType(response) {
	case "text/event-stream":
		return read.stream(response.Body)
	case "application/json":
		return read.whole(ctx, response.Body)
	default:
		return Result{}, badAnswer(p.name, "answered with something that is neither JSON nor an event stream")
	}
}

// completionRequest is the body of a request.
type completionRequest struct {
	Model               string              `json:"model"`
	Messages            []completionMessage `json:"messages"`
	Stream              bool                `json:"stream,omitempty"`
	StreamOptions       *streamOptions      `json:"stream_options,omitempty"`
	Temperature         *float64            `json:"temperature,omitempty"`
	MaxTokens           int64               `json:"max_tokens,omitempty"`            // the name most services know
	MaxCompletionTokens int64               `json:"max_completion_tokens,omitempty"` // the name of OpenAI's newer models
}

type completionMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// maxAdaptations is how often a request is changed to what the model accepts:
// once for each parameter that is known to be refused by some.
const maxAdaptations = 3

// send sends the request, and again without a parameter that the model refuses:
// reasoning models accept neither temperature nor max_tokens, and old servers
// no stream_options.
func (p *openAI) send(ctx context.Context, request Request) (*http.Response, error) {
	body := completionRequest{Model: request.Model, Stream: request.Stream, Temperature: request.Temperature, MaxTokens: request.MaxTokens}
	if request.Stream {
		body.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	for _, m := range request.Messages {
		body.Messages = append(body.Messages, completionMessage(m))
	}
	for tries := 0; ; tries++ {
		response, err := p.post(ctx, body)
		if err == nil || tries == maxAdaptations || !body.adapt(err) {
			return response, err
		}
	}
}

// adapt removes what the service refused and reports whether there was such a
// thing.
func (b *completionRequest) adapt(err error) bool {
	var upstream *outbound.Upstream
	if !errors.As(err, &upstream) || upstream.Status != http.StatusBadRequest && upstream.Status != http.StatusUnprocessableEntity {
		return false
	}
	switch {
	case upstream.Param == "temperature" && b.Temperature != nil:
		b.Temperature = nil
	case upstream.Param == "max_tokens" && b.MaxTokens > 0:
		b.MaxTokens, b.MaxCompletionTokens = 0, b.MaxTokens
	case strings.HasPrefix(upstream.Param, "stream_options") && b.StreamOptions != nil:
		b.StreamOptions = nil
	default:
		return false
	}
	return true
}

func (p *openAI) post(ctx context.Context, body completionRequest) (*http.Response, error) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, err
	}
	return p.postTo(ctx, "/chat/completions", data.Bytes())
}
