package image

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"llmhist/platform/logging"
	"llmhist/platform/outbound"
)

// Config says who makes pictures.
type Config struct {
	// Providers names them in the order in which they stand in for each other
	// when a request names no model: "local", "pollinations", or an upstream.
	// Empty = Pollinations if it has a key, then every upstream; local if there
	// are none.
	Providers    []string     `mapstructure:"providers"`
	Pollinations Pollinations `mapstructure:"pollinations"`
	Upstreams    []Upstream   `mapstructure:"upstreams"`
}

// Pollinations configures the hosted service of that name.
type Pollinations struct {
	APIURL       string         `mapstructure:"api_url"` // "" = PollinationsURL
	APIKey       logging.Secret `mapstructure:"api_key"` // without one the service refuses to generate
	Models       []string       `mapstructure:"models"`  // empty = DefaultModel alone
	DefaultModel string         `mapstructure:"default_model"`
}

// PollinationsURL is where the hosted service is.
const PollinationsURL = "https://gen.pollinations.ai"

// pollinationsModel is used where the configuration names none: the service's
// own default changed several times, so that one is always sent.
const pollinationsModel = "flux"

const pollinationsName = "pollinations"

// Upstream is a server with one of the known protocols.
type Upstream struct {
	Name         string          `mapstructure:"name"`     // lower case, for answers and IMAGE_PROVIDERS
	Type         string          `mapstructure:"type"`     // "openai" or "pollinations"; "" = "openai"
	BaseURL      string          `mapstructure:"base_url"` // for openai up to and including /v1
	APIKey       logging.Secret  `mapstructure:"api_key"`
	DefaultModel string          `mapstructure:"default_model"` // "" = the first of Models
	Models       []string        `mapstructure:"models"`
	Sizes        []string        `mapstructure:"sizes"`     // the only sizes it makes; empty = any
	SizeStep     int             `mapstructure:"size_step"` // sides must be multiples of it; 0 = any
	Limits       outbound.Limits `mapstructure:"limits"`
}

// upstream types.
const (
	typeOpenAI       = "openai"
	typePollinations = "pollinations"
)

var upstreamName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`) })

// providers builds the configured providers in order, or says everything that
// is wrong with the configuration.
func (c Config) providers(cores gate) ([]provider, error) {
	known, err := c.upstreams()
	if err != nil {
		return nil, err
	}
	names, err := c.order(known)
	if err != nil {
		return nil, err
	}
	var list []provider
	for _, name := range names {
		if name == localName {
			list = append(list, &local{cores: cores})
			continue
		}
		upstream := known[name]
		if upstream.Type == typePollinations {
			list = append(list, newPollinations(upstream, cores))
		} else {
			list = append(list, newOpenAI(upstream, cores))
		}
	}
	return list, nil
}

// upstreams returns every remote provider by its name, checked and complete.
func (c Config) upstreams() (map[string]Upstream, error) {
	p := c.Pollinations
	known := map[string]Upstream{}
	faults := []error{}
	for _, upstream := range append([]Upstream{{
		Name: pollinationsName, Type: typePollinations, BaseURL: p.APIURL, APIKey: p.APIKey, Models: p.Models, DefaultModel: p.DefaultModel,
	}}, c.Upstreams...) {
		if _, taken := known[upstream.Name]; taken || upstream.Name == localName {
			faults = append(faults, fmt.Errorf("image.upstreams: the name %q is taken; give each upstream its own", upstream.Name))
			continue
		}
		complete, err := upstream.checked()
		faults = append(faults, err)
		known[upstream.Name] = complete
	}
	return known, errors.Join(faults...)
}

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
	case typeOpenAI:
	default:
		complain("the type must be openai or pollinations, not %q", u.Type)
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

// order returns the names of the providers to use.
func (c Config) order(known map[string]Upstream) ([]string, error) {
	if len(c.Providers) > 0 {
		seen := map[string]bool{}
		for _, name := range c.Providers {
			if _, ok := known[name]; !ok && name != localName {
				return nil, fmt.Errorf("IMAGE_PROVIDERS names %q, which is not configured: use local, pollinations or the name of an image upstream", name)
			}
			if seen[name] {
				return nil, fmt.Errorf("IMAGE_PROVIDERS names %q twice", name)
			}
			seen[name] = true
		}
		return c.Providers, nil
	}
	var names []string
	if c.Pollinations.APIKey != "" {
		names = append(names, pollinationsName)
	}
	for _, upstream := range c.Upstreams {
		names = append(names, upstream.Name)
	}
	if len(names) == 0 {
		names = []string{localName}
	}
	return names, nil
}
