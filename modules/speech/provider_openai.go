package speech

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/logging"
	"llmhist/platform/outbound"
)

// The types of upstream.
const (
	typeOpenAI = "openai"
	typeKokoro = "kokoro"
)

// openAICharacters is the documented limit of the original service.
const openAICharacters = 4096

// Upstream is one server with an OpenAI-compatible /audio/speech.
type Upstream struct {
	// Name is how operators list it and requests name it: "name/model".
	Name string `mapstructure:"name"`
	// Type is "openai" (also when empty), or "kokoro" for servers that stream
	// unless told not to.
	Type string `mapstructure:"type"`
	// BaseURL is the address before /audio/speech, such as
	// http://127.0.0.1:8880/v1.
	BaseURL string         `mapstructure:"base_url"`
	APIKey  logging.Secret `mapstructure:"api_key"` // "" = none is sent
	// DefaultModel is used when a request names no model, or the upstream alone;
	// "" = the first of Models. One of the two is required.
	DefaultModel string   `mapstructure:"default_model"`
	Models       []string `mapstructure:"models"`
	// Voices are those a request may name, the default first; none = any may be
	// named and the server decides.
	Voices []string `mapstructure:"voices"`
	// MaxCharacters of text; 0 = 4096 for openai, 5000 for kokoro.
	MaxCharacters int             `mapstructure:"max_characters"`
	Limits        outbound.Limits `mapstructure:"limits"`
}

// openAI speaks through an Upstream.
type openAI struct {
	upstream Upstream
	ids      []string // the models, the default first, as the upstream calls them
	address  string
	client   *outbound.Client
}

var upstreamName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`) })

func newOpenAI(upstream Upstream) (*openAI, error) {
	if !upstreamName().MatchString(upstream.Name) || upstream.Name == localName || upstream.Name == gttsName {
		return nil, fmt.Errorf("speech upstream %q: the name must be 1 to 32 lower-case letters, digits, - or _, and neither local nor gtts", upstream.Name)
	}
	base, err := parseBase(upstream.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("speech upstream %q: base_url %w", upstream.Name, err)
	}
	if upstream.Type == "" {
		upstream.Type = typeOpenAI
	}
	standardVoice := map[string]string{typeOpenAI: "alloy", typeKokoro: "af_heart"}[upstream.Type]
	if standardVoice == "" {
		return nil, fmt.Errorf("speech upstream %q: type must be openai or kokoro, not %q", upstream.Name, upstream.Type)
	}
	ids := withFirst(upstream.DefaultModel, upstream.Models)
	if len(ids) == 0 {
		return nil, fmt.Errorf("speech upstream %q: set default_model or models", upstream.Name)
	}
	if upstream.MaxCharacters <= 0 {
		upstream.MaxCharacters = map[string]int{typeOpenAI: openAICharacters, typeKokoro: MaxCharacters}[upstream.Type]
	}
	return &openAI{
		upstream: upstream, ids: ids, address: base.JoinPath("/audio/speech").String(),
		client: outbound.New(upstream.Name, upstream.Limits),
	}, nil
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

// parseBase reads the address of a service. Its errors do not repeat it: it may
// hold a secret in the wrong place.
func parseBase(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("must be an http or https address without user, query and fragment")
	}
	return base, nil
}

func (o *openAI) name() string { return o.upstream.Name }

func (o *openAI) models(context.Context) []model {
	list := make([]model, 0, len(o.ids))
	for i, id := range o.ids {
		m := model{
			id: o.upstream.Name + "/" + id, provider: o, remote: true, formats: []audio.Format{audio.MP3, audio.WAV},
			anyVoice: len(o.upstream.Voices) == 0, longest: o.upstream.MaxCharacters, slowest: MinSpeed, fastest: MaxSpeed,
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
	request, err := o.request(ctx, u)
	if err != nil {
		return recording{}, err
	}
	response, err := o.client.Do(ctx, request)
	if err != nil {
		return recording{}, err
	}
	sound, err := o.client.ReadAll(response)
	if err != nil {
		return recording{}, err
	}
	sound, err = o.checkSound(outbound.MediaType(response), sound, u.native)
	return recording{sound: sound, status: response.StatusCode}, err
}

func (o *openAI) request(ctx context.Context, u utterance) (*http.Request, error) {
	call := speechCall{
		Model: strings.TrimPrefix(u.model, o.upstream.Name+"/"), Input: u.text, Voice: u.voice, Format: string(u.native),
	}
	if u.speed != 1 {
		call.Speed = &u.speed
	}
	if o.upstream.Type == typeKokoro {
		call.Stream = new(bool)
	}
	body, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", u.native.ContentType()+", application/json;q=0.1")
	request.Header.Set("User-Agent", "llmhist")
	if id := identity.RequestID(ctx); id != "" {
		request.Header.Set("X-Request-Id", id)
	}
	o.authorize(request.Header)
	return request, nil
}

// checkSound believes the bytes, not the label; but a label that says text is
// an error message, whatever the bytes look like.
func (o *openAI) checkSound(label string, sound []byte, want audio.Format) ([]byte, error) {
	if strings.HasPrefix(label, "text/") || strings.HasSuffix(label, "json") {
		return nil, wrongMedia(o.upstream.Name, fmt.Errorf("content type %q", label))
	}
	format, known := audio.Sniff(sound)
	if !known || format != want {
		return nil, wrongMedia(o.upstream.Name, fmt.Errorf("%d bytes of %q, want %q", len(sound), format, want))
	}
	if format == audio.WAV {
		repaired, err := audio.RepairWAV(sound)
		if err != nil {
			return nil, wrongMedia(o.upstream.Name, err)
		}
		return repaired, nil
	}
	return sound, nil
}

func (o *openAI) upstreamStatus() outbound.Status { return o.client.Status() }

func (o *openAI) close(context.Context) error {
	o.client.Close()
	return nil
}

// nothingToSay is what is wrong with a text without words.
func nothingToSay() fault.Field {
	return fault.Field{Field: "text", Code: "nothing_to_say", Message: "holds nothing that can be spoken"}
}
