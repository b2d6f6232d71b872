package speech

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/probe"
)

const (
	googleURL = "https://texttospeech.googleapis.com/v1"
	// googleModel is the only model: what differs are the voices.
	googleModel = "google"
	// googleBytes is the most text of one call.
	googleBytes = 5000
	// The speeds that every version of the documentation has.
	googleSlowest, googleFastest = 0.25, 2.0
)

// googleCloud speaks through Google Cloud Text-to-Speech
// (https://cloud.google.com/text-to-speech/docs/reference/rest/v1/text/synthesize).
type googleCloud struct{ remote }

func newGoogleCloud(upstream Upstream) (*googleCloud, error) {
	if upstream.BaseURL == "" {
		upstream.BaseURL = googleURL
	}
	if err := upstream.onlyVoices(); err != nil {
		return nil, err
	}
	if !upstream.hasKey() {
		return nil, fmt.Errorf("%s is not set, and Google Cloud speaks for nobody without a key", upstream.key("api_key"))
	}
	if upstream.MaxCharacters <= 0 {
		upstream.MaxCharacters = MaxCharacters
	}
	common, err := newRemote(upstream, upstream.Limits, googleModel)
	return &googleCloud{remote: common}, err
}

func (g *googleCloud) models(context.Context) []model {
	m := model{
		formats: []audio.Format{audio.MP3, audio.WAV}, slowest: googleSlowest, fastest: googleFastest, match: g.match, check: checkGoogleBytes,
		note: "Sends the text to Google Cloud Text-to-Speech.",
	}
	return []model{g.voiced(g, googleModel, m)}
}

// endpoint says how the service can be asked for its voices.
func (g *googleCloud) endpoint() *probe.Endpoint {
	endpoint := g.remote.endpoint()
	endpoint.ListURL, endpoint.Models = endpoint.BaseURL+"/voices", g.upstream.Voices
	endpoint.Settings.Model, endpoint.Settings.Models = g.upstream.key("voices"), g.upstream.key("voices")
	return endpoint
}

// match takes the language's first voice, or leaves the choice to Google where
// none are configured.
func (g *googleCloud) match(language string) (spoken, standard string, ok bool) {
	if len(g.upstream.Voices) == 0 {
		return canonicalTag(language), "", true
	}
	return g.matchVoice(language)
}

func checkGoogleBytes(u utterance) []fault.Field {
	if n := len(u.text); n > googleBytes {
		return []fault.Field{{Field: "text", Code: "too_long", Message: fmt.Sprintf("has %d bytes; %s takes at most %d", n, u.model, googleBytes)}}
	}
	return nil
}

// synthesizeCall is the body of POST /text:synthesize.
type synthesizeCall struct {
	Input struct {
		Text string `json:"text"`
	} `json:"input"`
	Voice struct {
		LanguageCode string `json:"languageCode"`
		Name         string `json:"name,omitempty"`
	} `json:"voice"`
	AudioConfig struct {
		Encoding     string  `json:"audioEncoding"`
		SpeakingRate float64 `json:"speakingRate"`
	} `json:"audioConfig"`
}

func (g *googleCloud) speak(ctx context.Context, u utterance) (recording, error) {
	var call synthesizeCall
	call.Input.Text = u.text
	call.Voice.LanguageCode, call.Voice.Name = u.language, u.voice
	if own := googleLanguage(u.voice); own != "" { // a voice is refused for any other region
		call.Voice.LanguageCode = own
	}
	call.AudioConfig.Encoding, call.AudioConfig.SpeakingRate = googleEncodings[u.native], u.speed
	response, err := g.post(ctx, "/text:synthesize", call, "application/json")
	if err != nil {
		return recording{}, err
	}
	data, err := g.client.ReadAll(response)
	if err != nil {
		return recording{}, err
	}
	var answer struct {
		Audio string `json:"audioContent"`
	}
	if json.Unmarshal(data, &answer) != nil {
		return recording{}, wrongMedia(g.name(), errNoAudio)
	}
	sound, err := base64.StdEncoding.DecodeString(answer.Audio)
	if err != nil {
		return recording{}, wrongMedia(g.name(), err)
	}
	sound, err = g.checkSound(sound, u.native)
	return recording{sound: sound, status: response.StatusCode}, err
}

// errNoAudio stands for the decoder's error, which quotes what it read.
var errNoAudio = errors.New("the answer is not the expected JSON")

var googleEncodings = map[audio.Format]string{audio.MP3: "MP3", audio.WAV: "LINEAR16"}

var googleVoice = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([a-z]{2,3}-[A-Z]{2})-`) })

// googleLanguage returns the language of a voice, with which its name begins:
// en-US of en-US-Neural2-C. "" = the name does not say.
func googleLanguage(voice string) string {
	if parts := googleVoice().FindStringSubmatch(voice); parts != nil {
		return parts[1]
	}
	return ""
}
