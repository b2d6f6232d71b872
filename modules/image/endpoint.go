package image

import "llmhist/platform/probe"

// endpoint says how the upstream can be asked what it offers, at the address of
// its list.
func (u Upstream) endpoint(list string) *probe.Endpoint {
	return &probe.Endpoint{
		BaseURL: u.BaseURL, ListURL: list, HasKey: u.hasKey(), Models: u.Models, Authorize: u.authorize, Settings: u.settings(),
	}
}

// settings returns how the operator spells what the upstream is made of.
func (u Upstream) settings() probe.Settings {
	if u.Name == pollinationsName {
		return probe.Settings{Address: "POLLINATIONS_API_URL", Key: "POLLINATIONS_API_KEY", Model: "POLLINATIONS_DEFAULT_MODEL", Models: "POLLINATIONS_MODELS"}
	}
	own := "image.upstreams[" + u.Name + "]."
	return probe.Settings{Address: own + "base_url", Key: own + "api_key", Model: own + "default_model", Models: own + "models"}
}
