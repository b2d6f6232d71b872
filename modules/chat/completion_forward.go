package chat

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/outbound"
)

// forwarder is a provider that speaks OpenAI's API: what it is sent and what it
// answers goes through unchanged.
type forwarder interface {
	// Forward posts a JSON body to a path of the service, such as
	// "/chat/completions", and returns the response of a 2xx status, whose body
	// must be closed. Its errors are those of Provider.Answer.
	Forward(ctx context.Context, path string, body []byte) (*http.Response, error)
}

// Forward posts a body to the service.
func (p *openAI) Forward(ctx context.Context, path string, body []byte) (*http.Response, error) {
	response, err := p.postTo(ctx, path, body)
	if err != nil && p.explain != nil {
		err = p.explain(err)
	}
	return response, err
}

func (p *openAI) postTo(ctx context.Context, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.BadUpstream, "provider_misconfigured", "The address of a chat provider is not usable. The operator must correct its base URL.").
			With("provider", p.name)
	}
	request.Header = maps.Clone(p.headers) // whose lists nobody changes
	if id := identity.RequestID(ctx); id != "" {
		request.Header.Set("X-Request-Id", id)
	}
	return p.client.Do(ctx, request)
}

// bodyFor returns the body of the request for a provider's model. A stream's
// tokens are asked for, whether or not the client wants them.
func (q completionAsk) bodyFor(model string) []byte {
	body := q.Body
	if q.Model != model {
		body = with(body, "model", model)
	}
	if q.Stream {
		body = with(body, "stream_options.include_usage", true)
	}
	return body
}

// with returns a body in which a member has a value. All else keeps its bytes.
func with(body []byte, path string, value any) []byte {
	changed, err := sjson.SetBytes(body, path, value)
	if err != nil {
		return body // not reached: it is a JSON object, and the path is one of ours
	}
	return changed
}

// without returns a body that does not have a member.
func without(body []byte, path string) []byte {
	changed, err := sjson.DeleteBytes(body, path)
	if err != nil {
		return body
	}
	return changed
}

// maxTokens returns how long the client lets the answer be, 0 when it does not
// say.
func (q completionAsk) maxTokens() int64 {
	for _, name := range []string{"max_completion_tokens", "max_tokens"} {
		if n := gjson.GetBytes(q.Body, name).Int(); n > 0 {
			return n
		}
	}
	return 0
}

// forwardAdapting forwards a body, and again without a parameter that the model
// refuses: see completionRequest.adapt.
func forwardAdapting(ctx context.Context, to forwarder, path string, body []byte) (*http.Response, error) {
	for tries := 0; ; tries++ {
		response, err := to.Forward(ctx, path, body)
		if err == nil || tries == maxAdaptations {
			return response, err
		}
		adapted, changed := adaptBody(body, err)
		if !changed {
			return nil, err
		}
		body = adapted
	}
}

// adaptBody removes what the service refused and reports whether there was such
// a thing.
func adaptBody(body []byte, err error) ([]byte, bool) {
	var upstream *outbound.Upstream
	if !errors.As(err, &upstream) || upstream.Status != http.StatusBadRequest && upstream.Status != http.StatusUnprocessableEntity {
		return body, false
	}
	has := func(name string) bool { return gjson.GetBytes(body, name).Exists() }
	switch {
	case upstream.Param == "temperature" && has("temperature"):
		return without(body, "temperature"), true
	case upstream.Param == "max_tokens" && has("max_tokens"):
		limit := gjson.GetBytes(body, "max_tokens").Int()
		return with(without(body, "max_tokens"), "max_completion_tokens", limit), true
	case upstream.Param == "max_completion_tokens" && has("max_completion_tokens"):
		limit := gjson.GetBytes(body, "max_completion_tokens").Int()
		return with(without(body, "max_completion_tokens"), "max_tokens", limit), true
	case strings.HasPrefix(upstream.Param, "stream_options") && has("stream_options"):
		return without(body, "stream_options"), true
	}
	return body, false
}
