package speech

import (
	"net/http"
	"strings"

	"llmhist/platform/probe"
)

// endpoint says how the server can be asked what it offers.
func (o *openAI) endpoint() *probe.Endpoint {
	base := strings.TrimSuffix(o.address, "/audio/speech")
	own := "speech.upstreams[" + o.upstream.Name + "]."
	return &probe.Endpoint{
		BaseURL: base, ListURL: base + "/models", HasKey: o.upstream.APIKey != "", Models: o.ids, Authorize: o.authorize,
		Settings: probe.Settings{Address: own + "base_url", Key: own + "api_key", Model: own + "default_model", Models: own + "models"},
	}
}

// authorize adds the key, where there is one.
func (o *openAI) authorize(header http.Header) {
	if key := o.upstream.APIKey.Reveal(); key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
}

// endpoint has no list: all that can be sent to this service is text to speak.
func (g *gtts) endpoint() *probe.Endpoint {
	return &probe.Endpoint{BaseURL: g.base.String(), Settings: probe.Settings{Address: "GTTS_API_URL"}}
}
