package speech

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"llmhist/platform/logging"
	"llmhist/platform/outbound"
)

// The types of upstream.
const (
	typeOpenAI = "openai"
	typeKokoro = "kokoro"
	typePiper  = "piper"
	typeGoogle = "google"
	typeGTTS   = "gtts"
)

// Upstream is one server that speaks.
type Upstream struct {
	// Name is how operators list it and requests name it: "name/model".
	Name string `mapstructure:"name"`
	// Type is the protocol: "openai" (also when empty) for servers with an
	// OpenAI-compatible /audio/speech, "kokoro" for those that stream unless told
	// not to, "piper" for the HTTP server of Piper, "google" for Google Cloud
	// Text-to-Speech, or "gtts" for the unofficial voices of Google Translate.
	Type string `mapstructure:"type"`
	// BaseURL is the address before /audio/speech, such as
	// http://127.0.0.1:8880/v1. The other types have one of their own.
	BaseURL string         `mapstructure:"base_url"`
	APIKey  logging.Secret `mapstructure:"api_key"` // "" = none is sent
	// DefaultModel is used when a request names no model, or the upstream alone;
	// "" = the first of Models. openai and kokoro need one of the two, the other
	// types have none.
	DefaultModel string   `mapstructure:"default_model"`
	Models       []string `mapstructure:"models"`
	// Voices are those a request may name, the default first; none = any may be
	// named and the server decides. piper needs some, gtts has its own.
	Voices []string `mapstructure:"voices"`
	// MaxCharacters of text; 0 = 4096 for openai, 5000 for the others.
	MaxCharacters int               `mapstructure:"max_characters"`
	Prices        []Price           `mapstructure:"prices"`
	Headers       outbound.Headers  `mapstructure:"headers"`  // sent with every request
	Timeouts      outbound.Timeouts `mapstructure:"timeouts"` // they come before those in Limits
	Limits        outbound.Limits   `mapstructure:"limits"`
}

var upstreamName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`) })

// provider makes what calls the server. An error names the key that has to
// change.
func (u Upstream) provider(now func() time.Time) (provider, error) {
	if !upstreamName().MatchString(u.Name) || u.Name == localName || u.Name == gttsName {
		return nil, fmt.Errorf("speech.upstreams: the name %q must be 1 to 32 lower-case letters, digits, - or _, and neither local nor gtts", u.Name)
	}
	switch u.Type {
	case "", typeOpenAI, typeKokoro:
		return newOpenAI(u)
	case typePiper:
		return newPiper(u)
	case typeGoogle:
		return newGoogleCloud(u)
	case typeGTTS:
		return newNamedGTTS(u, now)
	case "espeak", "espeak-ng":
		return nil, fmt.Errorf("%s is %s, a program without settings: remove the upstream, install espeak-ng on the server, "+
			"and name local in SPEECH_PROVIDERS or the model %s in requests", u.key("type"), u.Type, espeakModel)
	default:
		return nil, fmt.Errorf("%s must be openai, kokoro, piper, google or gtts, not %q", u.key("type"), u.Type)
	}
}

// key returns how the operator spells a setting of the upstream.
func (u Upstream) key(setting string) string {
	if u.Name == gttsName && setting == "base_url" {
		return "GTTS_API_URL"
	}
	return "speech.upstreams[" + u.Name + "]." + setting
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

// authorize adds what proves who asks: the key, and the operator's own headers.
func (u Upstream) authorize(header http.Header) {
	switch key := u.APIKey.Reveal(); {
	case key == "":
	case u.Type == typeGoogle:
		header.Set("X-Goog-Api-Key", key)
	default:
		header.Set("Authorization", "Bearer "+key)
	}
	u.Headers.Set(header)
}

// hasKey reports whether a request says who asks, in whichever way.
func (u Upstream) hasKey() bool {
	header := http.Header{}
	u.authorize(header)
	return header.Get("Authorization") != "" || header.Get("X-Goog-Api-Key") != ""
}
