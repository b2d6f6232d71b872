package speech

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"llmhist/platform/flite"
)

// Config says who speaks. Its zero value: this machine, with the voices built
// in and espeak-ng where it is installed.
type Config struct {
	// Providers names, in the order in which they stand in for each other when
	// a request names no model: "local", "gtts", or an upstream. Empty = local.
	// gtts serves only when it is listed here; local and the upstreams always
	// serve requests that name one of their models.
	Providers []string    `mapstructure:"providers"`
	GTTS      GTTSConfig  `mapstructure:"gtts"`
	Upstreams []Upstream  `mapstructure:"upstreams"`
	Aliases   []Alias     `mapstructure:"aliases"`
	Flite     FliteConfig `mapstructure:"flite"`
}

// FliteConfig sets up the voices that are built in. Its zero value is usable.
type FliteConfig struct {
	// CacheDir keeps compiled machine code between starts; nobody else may be
	// able to write there. "" = compile at each first use.
	CacheDir string        `mapstructure:"cache_dir"`
	Parallel int           `mapstructure:"parallel"` // syntheses at once; 0 = one a CPU
	Idle     time.Duration `mapstructure:"idle"`     // until unused voices leave memory; 0 = 5 minutes
}

// builder makes the providers that a configuration asks for.
type builder struct {
	config   Config
	now      func() time.Time
	programs *programs
	known    map[string]provider
	all      []provider
}

// catalog returns the configured providers, or everything that is wrong with
// the configuration.
func (b *builder) catalog(convert *transcoder) (*catalog, error) {
	b.known = map[string]provider{}
	var faults []error
	add := func(p provider, err error) {
		switch {
		case err != nil:
			faults = append(faults, err)
		case b.known[p.name()] != nil:
			faults = append(faults, fmt.Errorf("speech.upstreams: the name %q is taken; give each upstream its own", p.name()))
		default:
			b.known[p.name()] = p
			b.all = append(b.all, p)
		}
	}
	engine := flite.New(flite.Options{CacheDir: b.config.Flite.CacheDir, Parallel: b.config.Flite.Parallel, Idle: b.config.Flite.Idle})
	add(newLocal(engine, newEspeak(findProgram("espeak-ng", "espeak"), b.programs, b.now)), nil)
	if slices.Contains(b.config.Providers, gttsName) {
		google, err := newGTTS(b.config.GTTS, b.now)
		add(google, err)
	}
	for _, upstream := range b.config.Upstreams {
		server, err := upstream.provider(b.now)
		add(server, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	order, err := b.order()
	if err != nil {
		return nil, err
	}
	return &catalog{order: order, all: b.ordered(order), convertible: convert.can}, nil
}

// order returns the providers for requests that name no model.
func (b *builder) order() ([]provider, error) {
	names := b.config.Providers
	if len(names) == 0 {
		names = []string{localName}
	}
	var order []provider
	for i, name := range names {
		p, known := b.known[name]
		switch {
		case !known:
			return nil, fmt.Errorf("SPEECH_PROVIDERS names %q, which is not configured: use local, gtts or the name of a speech upstream%s",
				name, b.upstreamNames())
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("SPEECH_PROVIDERS names %q twice", name)
		}
		order = append(order, p)
	}
	return order, nil
}

func (b *builder) upstreamNames() string {
	var names []string
	for _, upstream := range b.config.Upstreams {
		names = append(names, upstream.Name)
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// ordered returns every provider, those in order first.
func (b *builder) ordered(order []provider) []provider {
	all := slices.Clone(order)
	for _, p := range b.all {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
