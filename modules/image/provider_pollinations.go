package image

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// maxPathPrompt is the longest escaped prompt that is sent as a path; a longer
// one goes in a body, because servers on the way limit the length of URLs.
const maxPathPrompt = 1500

// pollinations speaks the protocol of gen.pollinations.ai: a short prompt is a
// path and the answer the picture itself; a long one takes the form of OpenAI.
type pollinations struct {
	upstream Upstream
	base     string
	api      *imagesAPI
	cores    gate
}

func newPollinations(upstream Upstream, cores gate) *pollinations {
	base := strings.TrimSuffix(upstream.BaseURL, "/v1")
	return &pollinations{upstream: upstream, base: base, api: newImagesAPI(upstream, base+"/v1", cores), cores: cores}
}

func (p *pollinations) status() ProviderStatus {
	note := "sends prompts to " + hostOf(p.base)
	if !p.upstream.hasKey() {
		note += "; no key is set, and without one the service refuses to generate (POLLINATIONS_API_KEY)"
	}
	endpoint := p.upstream.endpoint(p.base + "/image/models")
	endpoint.OpenList = true
	return ProviderStatus{Name: p.upstream.Name, Models: p.upstream.Models, Remote: true, Note: note, Endpoint: endpoint}
}

func (p *pollinations) models() []Model {
	return p.upstream.modelList("Made by Pollinations at "+hostOf(p.base)+".", true)
}

func (p *pollinations) upstreamStatus() outbound.Status { return p.api.caller.client.Status() }

func (p *pollinations) close() { p.api.close() }

func (p *pollinations) generate(ctx context.Context, task Task) (Output, error) {
	seed := task.Seed
	prompt := promptInWords(task)
	escaped := url.PathEscape(prompt)
	if len(escaped) > maxPathPrompt || prompt == "." || prompt == ".." { // a path of dots means another path
		output, err := p.api.generate(ctx, task, &seed)
		return output, p.keyless(err)
	}
	ctx, release, err := p.api.caller.client.Hold(ctx)
	if err != nil {
		return Output{}, err
	}
	defer release()
	query := url.Values{
		"model": {task.Model}, "seed": {strconv.FormatInt(seed, 10)},
		"width": {strconv.Itoa(task.Size.Width)}, "height": {strconv.Itoa(task.Size.Height)},
	}
	response, err := p.api.caller.get(ctx, p.base+"/image/"+escaped+"?"+query.Encode())
	if err != nil {
		return Output{}, p.keyless(err)
	}
	used := modelUsed(response.Header)
	data, err := p.api.caller.client.ReadAll(response)
	if err != nil {
		return Output{}, err
	}
	made, err := convert(ctx, p.cores, p.upstream.Name, data)
	if err != nil {
		return Output{}, err
	}
	output := Output{Picture: made, Seed: &seed, ProviderModel: used}
	if prompt != task.Prompt {
		output.SentPrompt = prompt
	}
	return output, nil
}

// keyless says what is missing when a server without a key is refused.
func (p *pollinations) keyless(err error) error {
	if p.upstream.hasKey() || fault.CodeOf(err) != "provider_credentials_refused" {
		return err
	}
	return badAnswer(err, p.upstream.Name, "provider_key_missing",
		"makes pictures only for servers with a key, and this one has none: the operator must set POLLINATIONS_API_KEY")
}

// modelUsed returns the model the service says it used, if it is a name.
func modelUsed(header http.Header) string {
	name := header.Get("X-Model-Used")
	if len(name) > 128 || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return name
}
