package speech

import (
	"context"
	"fmt"
	"strings"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/probe"
)

// openAICharacters is the documented limit of the original service.
const openAICharacters = 4096

// openAI speaks through a server with OpenAI's /audio/speech.
type openAI struct {
	remote
	ids []string // the models, the default first, as the upstream calls them
}

func newOpenAI(upstream Upstream) (*openAI, error) {
	if upstream.Type == "" {
		upstream.Type = typeOpenAI
	}
	ids := withFirst(upstream.DefaultModel, upstream.Models)
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s or models must be set", upstream.key("default_model"))
	}
	if upstream.MaxCharacters <= 0 {
		upstream.MaxCharacters = map[string]int{typeOpenAI: openAICharacters, typeKokoro: MaxCharacters}[upstream.Type]
	}
	common, err := newRemote(upstream, upstream.Limits, ids...)
	return &openAI{remote: common, ids: ids}, err
}

// withFirst returns the names without doubles, first at the front.
func withFirst(first string, names []string) []string {
	var list []string
	seen := map[string]bool{"": true}
	for _, name := range append([]string{first}, names...) {
		if !seen[name] {
			list = append(list, name)
			seen[name] = true
		}
	}
	return list
}

func (o *openAI) models(context.Context) []model {
	list := make([]model, 0, len(o.ids))
	for i, id := range o.ids {
		m := model{
			id: o.upstream.Name + "/" + id, provider: o, remote: true, formats: []audio.Format{audio.MP3, audio.WAV},
			anyVoice: len(o.upstream.Voices) == 0, longest: o.upstream.MaxCharacters, price: o.upstream.price(id), slowest: MinSpeed, fastest: MaxSpeed,
			match: o.match, note: "Sends the text to the configured server " + o.upstream.Name + ".",
		}
		if i == 0 {
			m.aliases = []string{o.upstream.Name}
		}
		for _, name := range o.upstream.Voices {
			m.voices = append(m.voices, voice{id: name, name: name})
		}
		list = append(list, m)
	}
	return list
}

// match takes every language: the protocol has no field for it, the voice or
// the text decides.
func (o *openAI) match(language string) (spoken, standard string, ok bool) {
	if len(o.upstream.Voices) > 0 {
		return canonicalTag(language), o.upstream.Voices[0], true
	}
	if o.upstream.Type == typeKokoro {
		return canonicalTag(language), "af_heart", true
	}
	return canonicalTag(language), "alloy", true
}

// endpoint says how the server can be asked what it offers.
func (o *openAI) endpoint() *probe.Endpoint {
	endpoint := o.remote.endpoint()
	endpoint.ListURL, endpoint.Models = endpoint.BaseURL+"/models", o.ids
	return endpoint
}

// speechCall is the body of POST /audio/speech.
type speechCall struct {
	Model  string   `json:"model"`
	Input  string   `json:"input"`
	Voice  string   `json:"voice"`
	Format string   `json:"response_format"`
	Speed  *float64 `json:"speed,omitempty"`  // left out for 1: some servers do not know it
	Stream *bool    `json:"stream,omitempty"` // only for servers that stream by default
}

func (o *openAI) speak(ctx context.Context, u utterance) (recording, error) {
	call := speechCall{
		Model: strings.TrimPrefix(u.model, o.upstream.Name+"/"), Input: u.text, Voice: u.voice, Format: string(u.native),
	}
	if u.speed != 1 {
		call.Speed = &u.speed
	}
	if o.upstream.Type == typeKokoro {
		call.Stream = new(bool)
	}
	response, err := o.post(ctx, "/audio/speech", call, u.native.ContentType()+", application/json;q=0.1")
	if err != nil {
		return recording{}, err
	}
	return o.readSound(response, u.native)
}

// nothingToSay is what is wrong with a text without words.
func nothingToSay() fault.Field {
	return fault.Field{Field: "text", Code: "nothing_to_say", Message: "holds nothing that can be spoken"}
}
