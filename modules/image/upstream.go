package image

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"llmhist/platform/logging"
	"llmhist/platform/outbound"
)

// Upstream is a server with one of the known protocols.
type Upstream struct {
	Name         string         `mapstructure:"name"`          // lower case, for answers and IMAGE_PROVIDERS
	Type         string         `mapstructure:"type"`          // "openai" (also ""), "pollinations" or "a1111"
	BaseURL      string         `mapstructure:"base_url"`      // for openai up to and including /v1; "" = where a service of the type usually is
	APIKey       logging.Secret `mapstructure:"api_key"`       // for a1111 user:password
	DefaultModel string         `mapstructure:"default_model"` // "" = the first of Models
	Models       []string       `mapstructure:"models"`
	Sizes        []string       `mapstructure:"sizes"`     // the only sizes it makes; empty = any
	SizeStep     int            `mapstructure:"size_step"` // sides must be multiples of it; 0 = any
	Steps        int            `mapstructure:"steps"`     // of a1111's sampler; 0 = the server's own
	Prices       []Price        `mapstructure:"prices"`
	// Headers are sent with every request, but not with that for a picture behind
	// a link.
	Headers  outbound.Headers  `mapstructure:"headers"`
	Timeouts outbound.Timeouts `mapstructure:"timeouts"` // they come before those in Limits
	Limits   outbound.Limits   `mapstructure:"limits"`
}

// upstream types.
const (
	typeOpenAI       = "openai"
	typePollinations = "pollinations"
	typeA1111        = "a1111"
)

var upstreamName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`) })

// checked fills in what may be left out and checks the rest.
func (u Upstream) checked() (Upstream, error) {
	var faults []error
	complain := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("image upstream %q: %s", u.Name, fmt.Sprintf(format, args...)))
	}
	if !upstreamName().MatchString(u.Name) {
		complain("the name must be 1 to 40 lower-case letters, digits, '.', '_' or '-'")
	}
	switch u.Type {
	case "":
		u.Type = typeOpenAI
	case typePollinations:
		if u.BaseURL == "" {
			u.BaseURL = PollinationsURL
		}
		if u.DefaultModel == "" && len(u.Models) == 0 {
			u.DefaultModel = pollinationsModel
		}
	case typeA1111:
		if u.BaseURL == "" {
			u.BaseURL = a1111URL
		}
		if u.SizeStep == 0 {
			u.SizeStep = a1111Step
		}
		if u.APIKey != "" && !strings.Contains(u.APIKey.Reveal(), ":") {
			complain("api_key must be user:password, as the server's --api-auth is; another header belongs in headers")
		}
	case typeOpenAI:
	default:
		complain("the type must be openai, pollinations or a1111, not %q", u.Type)
	}
	if u.Steps < 0 || u.Steps > 0 && u.Type != typeA1111 {
		complain("steps is a setting of the type a1111 and must not be negative")
	}
	if u.Type == typeA1111 && u.SizeStep%a1111Step != 0 {
		complain("size_step must be a multiple of %d for the type a1111", a1111Step)
	}
	base, err := url.Parse(u.BaseURL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		complain("base_url must be an http or https address without credentials or query")
	}
	u.BaseURL = strings.TrimRight(u.BaseURL, "/")
	if u.Models = modelOrder(u.DefaultModel, u.Models); len(u.Models) == 0 {
		complain("name at least one model in default_model or models")
	}
	for _, size := range u.Sizes {
		if _, err := ParseSize(size); err != nil {
			complain("sizes: %q %v", size, err)
		}
	}
	if u.SizeStep < 0 {
		complain("size_step must not be negative")
	}
	for _, price := range u.Prices {
		if err := price.check(func(model string) bool { return slices.Contains(u.Models, model) }); err != nil {
			complain("prices: %v", err)
		}
	}
	if err := u.Headers.Check(); err != nil {
		complain("headers: %v", err)
	}
	return u, errors.Join(faults...)
}

// modelOrder lists each model once, the default first.
func modelOrder(first string, models []string) []string {
	var list []string
	seen := map[string]bool{"": true}
	for _, model := range append([]string{first}, models...) {
		if !seen[model] {
			seen[model] = true
			list = append(list, model)
		}
	}
	return list
}

// provider makes what calls the upstream, which is checked.
func (u Upstream) provider(cores gate) provider {
	switch u.Type {
	case typePollinations:
		return newPollinations(u, cores)
	case typeA1111:
		return newA1111(u, cores)
	default:
		return newOpenAI(u, cores)
	}
}

// authorize adds what proves who asks: the key, and the operator's own headers.
// They go to the upstream's own address alone.
func (u Upstream) authorize(header http.Header) {
	switch key := u.APIKey.Reveal(); {
	case key == "":
	case u.Type == typeA1111:
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(key)))
	default:
		header.Set("Authorization", "Bearer "+key)
	}
	u.Headers.Set(header)
}

// hasKey reports whether a request says who asks, in whichever way.
func (u Upstream) hasKey() bool {
	header := http.Header{}
	u.authorize(header)
	return header.Get("Authorization") != ""
}
