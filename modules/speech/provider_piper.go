package speech

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/outbound"
	"llmhist/platform/probe"
)

const (
	// piperURL is where the server listens by itself.
	piperURL = "http://127.0.0.1:5000"
	// piperModel is the only model: what differs are the voices.
	piperModel = "piper"
)

// piper speaks through the HTTP server of Piper (python3 -m piper.http_server).
type piper struct {
	remote
	known sync.Map // voices that the server has; as many as are configured
}

func newPiper(upstream Upstream) (*piper, error) {
	if upstream.BaseURL == "" {
		upstream.BaseURL = piperURL
	}
	if err := upstream.onlyVoices(); err != nil {
		return nil, err
	}
	if len(upstream.Voices) == 0 {
		return nil, fmt.Errorf("%s must name those that requests may ask for, such as en_US-lessac-medium", upstream.key("voices"))
	}
	if upstream.MaxCharacters <= 0 {
		upstream.MaxCharacters = MaxCharacters
	}
	common, err := newRemote(upstream, upstream.Limits, piperModel)
	return &piper{remote: common}, err
}

func (p *piper) models(context.Context) []model {
	return []model{p.voiced(p, piperModel, model{
		formats: []audio.Format{audio.WAV}, slowest: MinSpeed, fastest: MaxSpeed, match: p.matchVoice,
		note: "Piper, at the configured server " + p.name() + ".",
	})}
}

// endpoint has the voices in the place of models.
func (p *piper) endpoint() *probe.Endpoint {
	endpoint := p.remote.endpoint()
	endpoint.ListURL, endpoint.Members, endpoint.Noun, endpoint.Models = endpoint.BaseURL+"/voices", true, "voices", p.upstream.Voices
	endpoint.NoList = "Check " + endpoint.Settings.Address + ", unless it is a server of 2025, which has no list of voices and speaks all the same."
	endpoint.Settings.Model, endpoint.Settings.Models = p.upstream.key("voices"), p.upstream.key("voices")
	return endpoint
}

// piperCall is the body of POST /synthesize.
type piperCall struct {
	Text        string  `json:"text"`
	Voice       string  `json:"voice"`
	LengthScale float64 `json:"length_scale,omitempty"` // 0 = the voice's own
}

func (p *piper) speak(ctx context.Context, u utterance) (recording, error) {
	if err := p.checkVoice(ctx, u.voice); err != nil {
		return recording{}, err
	}
	call := piperCall{Text: u.text, Voice: u.voice}
	if u.speed != 1 {
		call.LengthScale = 1 / u.speed
	}
	response, err := p.post(ctx, "/synthesize", call, u.native.ContentType())
	if isNotFound(err) { // servers of 2025 speak at their root
		response, err = p.post(ctx, "/", call, u.native.ContentType())
	}
	if err != nil {
		return recording{}, err
	}
	return p.readSound(response, u.native)
}

// checkVoice asks the server once whether it has the voice: it speaks with its
// default one in the place of one that it does not have. A server that is too
// old for the question is not asked again either.
func (p *piper) checkVoice(ctx context.Context, voice string) error {
	if _, has := p.known.Load(voice); has {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base.JoinPath("/voices").String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	response, err := p.send(ctx, request)
	if isNotFound(err) {
		p.known.Store(voice, true)
		return nil
	}
	if err != nil {
		return err
	}
	data, err := p.client.ReadAll(response)
	if err != nil {
		return err
	}
	var voices map[string]json.RawMessage
	if json.Unmarshal(data, &voices) != nil {
		return fault.Wrap(errNoVoices, fault.BadUpstream, "provider_bad_answer",
			fmt.Sprintf("The provider %q answered with something that is no list of voices. Check its base URL.", p.name())).With("provider", p.name())
	}
	if _, has := voices[voice]; !has {
		return fault.New(fault.BadUpstream, "provider_voice_missing", fmt.Sprintf(
			"The provider %q does not have the voice %s. The operator must download it there, or correct %s.", p.name(), voice, p.upstream.key("voices"))).
			With("provider", p.name())
	}
	p.known.Store(voice, true)
	return nil
}

// errNoVoices stands for the decoder's error, which quotes what it read.
var errNoVoices = errors.New("the answer is not a list of voices")

func isNotFound(err error) bool {
	var upstream *outbound.Upstream
	return errors.As(err, &upstream) && upstream.Status == http.StatusNotFound
}

// piperLanguage returns the language of a voice, which is the first part of its
// name: en-US of en_US-lessac-medium. "" = the name does not say.
func piperLanguage(voice string) string {
	first, _, _ := strings.Cut(voice, "-")
	tag := strings.ReplaceAll(first, "_", "-")
	if !languageTag().MatchString(tag) {
		return ""
	}
	return canonicalTag(tag)
}
