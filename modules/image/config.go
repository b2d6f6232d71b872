package image

import (
	"errors"
	"fmt"

	"llmhist/platform/logging"
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
	Aliases      []Alias      `mapstructure:"aliases"`
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

// router builds the configured providers and says who serves which request.
func (c Config) router(cores gate) (*router, error) {
	providers, err := c.providers(cores)
	if err != nil {
		return nil, err
	}
	made := newRouter(providers, len(c.Providers) > 0)
	if err := made.addAliases(c.Aliases); err != nil {
		made.close()
		return nil, err
	}
	return made, nil
}

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
		list = append(list, upstream.provider(cores))
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
