package chat

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"llmhist/platform/probe"
)

// endpoint says how the service can be asked what it offers.
func (p *openAI) endpoint() *probe.Endpoint {
	own := Upstream{Name: p.name}
	further := own.key("models")
	if len(p.vectors) > 0 {
		further += " or " + own.key("embedding_models")
	}
	return &probe.Endpoint{
		BaseURL: p.base, ListURL: p.listURL(), HasKey: p.headers.Get("Authorization") != "",
		Models: slices.Concat(p.models, p.vectors),
		Settings: probe.Settings{
			Address: own.key("base_url"), Key: own.credential(), Model: own.key("default_model"),
			Models: further,
		},
		Authorize: func(header http.Header) {
			maps.Copy(header, p.headers)
			header.Del("Content-Type") // of bodies, and a question has none
		},
	}
}

// listURL returns where the service lists its models. GitHub's protocol has the
// list beside the place for inference, not in it.
func (p *openAI) listURL() string {
	if p.headers.Get("X-Github-Api-Version") == "" {
		return p.base + "/models"
	}
	address, err := url.Parse(p.base)
	if err != nil {
		return "" // checked when it was configured
	}
	address.Path = strings.TrimSuffix(address.Path, "/inference") + "/catalog/models"
	return address.String()
}

// credential returns how the operator spells the key of the upstream.
func (u Upstream) credential() string {
	if u.Name == gitHubName {
		return "GITHUB_TOKEN"
	}
	return u.key("api_key")
}
