package speech

import "llmhist/platform/probe"

// endpoint has no list: all that can be sent to this service is text to speak.
func (g *gtts) endpoint() *probe.Endpoint {
	return &probe.Endpoint{BaseURL: g.base.String(), Settings: probe.Settings{Address: "GTTS_API_URL"}}
}
