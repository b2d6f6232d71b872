package speech

import (
	"context"
	"strings"
	"testing"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/outbound"
	"llmhist/platform/testkit"
)

func noConversion(audio.Format, audio.Format) bool { return false }

func TestPlanFollowsTheOperatorsOrder(t *testing.T) {
	first, second := newFake(t, "first"), newFake(t, "second")
	french := newFake(t, "french")
	french.list[0].match = func(language string) (string, string, bool) { return language, "", primary(language) == "fr" }
	hidden := newFake(t, "hidden")
	c := &catalog{order: []provider{first, second, french}, all: []provider{first, second, french, hidden}, convertible: noConversion}
	tests := map[string]struct {
		request Request
		want    string
	}{
		"no model":                    {Request{}, "first/one second/one"},
		"a language of one":           {Request{Language: "fr"}, "french/one"},
		"a named model has no others": {Request{Model: "second/one"}, "second/one"},
		"a named one beyond order":    {Request{Model: "hidden"}, "hidden/one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.request.Text, test.request.Speed = "x", 1
			ways, err := c.plan(t.Context(), test.request)
			var got []string
			for _, way := range ways {
				got = append(got, way.model)
			}
			if err != nil || strings.Join(got, " ") != test.want {
				t.Errorf("%v %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestPlanSaysWhatIsMissing(t *testing.T) {
	gone, here := newFake(t, "gone"), newFake(t, "here")
	gone.list[0].missing = "Install gone."
	tests := map[string]struct {
		order   []provider
		request Request
		kind    fault.Kind
		says    string
	}{
		"nothing is there":        {[]provider{gone}, Request{}, fault.Unavailable, "Install gone."},
		"the named one is gone":   {[]provider{here, gone}, Request{Model: "gone"}, fault.Unavailable, "Install gone."},
		"who is there cannot":     {[]provider{here, gone}, Request{Language: "de"}, fault.Invalid, "Install gone."},
		"a wrong request is told": {[]provider{gone}, Request{Model: "gone", Format: "ogg"}, fault.Invalid, "format"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := &catalog{order: test.order, all: test.order, convertible: noConversion}
			test.request.Text, test.request.Speed = "x", 1
			_, err := c.plan(t.Context(), test.request)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

func TestConfigNamesItsMistakes(t *testing.T) {
	server := Upstream{Name: "server", BaseURL: "http://127.0.0.1:1/v1", DefaultModel: "m"}
	with := func(change func(u *Upstream)) Config {
		u := server
		change(&u)
		return Config{Upstreams: []Upstream{u}}
	}
	tests := map[string]struct {
		config Config
		says   string
	}{
		"unknown provider":     {Config{Providers: []string{"local", "piper"}}, `SPEECH_PROVIDERS names "piper"`},
		"provider named twice": {Config{Providers: []string{"local", "local"}}, `SPEECH_PROVIDERS names "local" twice`},
		"unknown, with others": {Config{Providers: []string{"x"}, Upstreams: []Upstream{server}}, "(server)"},
		"gtts address":         {Config{Providers: []string{"gtts"}, GTTS: GTTSConfig{APIURL: "ftp://x"}}, "GTTS_API_URL"},
		"upstream named twice": {Config{Upstreams: []Upstream{server, server}}, "taken"},
		"reserved name":        {with(func(u *Upstream) { u.Name = "gtts" }), "neither local nor gtts"},
		"name of wrong shape":  {with(func(u *Upstream) { u.Name = "A b" }), "lower-case"},
		"address with a key":   {with(func(u *Upstream) { u.BaseURL = "https://x/?key=SECRET" }), "without user, query"},
		"address with a user":  {with(func(u *Upstream) { u.BaseURL = "https://u:SECRET@x/" }), "without user, query"},
		"address of nothing":   {with(func(u *Upstream) { u.BaseURL = "" }), "base_url"},
		"unknown type":         {with(func(u *Upstream) { u.Type = "grpc" }), "openai, kokoro, piper"},
		"header of two lines":  {with(func(u *Upstream) { u.Headers = outbound.Headers{"X-Key": "SECRET\n"} }), "speech.upstreams[server].headers"},
		"price below nothing":  {with(func(u *Upstream) { u.Prices = []Price{{Characters: -1}} }), "speech.upstreams[server].prices"},
		"price of no model":    {with(func(u *Upstream) { u.Prices = []Price{{Model: "x"}} }), `"x" is not among the models`},
		"alias of nothing":     {Config{Aliases: []Alias{{Name: "best"}}}, "speech.aliases: each alias"},
		"alias of no model":    {Config{Aliases: []Alias{{Name: "best", Models: []string{"server"}}}}, `names the model "server"`},
		"alias that is taken":  {Config{Aliases: []Alias{{Name: "flite", Models: []string{"local/flite"}}}}, `the name "flite" is taken`},
		"alias named twice":    {Config{Aliases: []Alias{{Name: "best", Models: []string{"flite"}}, {Name: "best", Models: []string{"flite"}}}}, `the name "best" is taken`},
		"espeak by name":       {with(func(u *Upstream) { u.Type = "espeak" }), "name local in SPEECH_PROVIDERS"},
		"piper with models":    {with(func(u *Upstream) { u.Type = typePiper }), "speech.upstreams[server].voices"},
		"piper without voices": {with(func(u *Upstream) { u.Type, u.DefaultModel = typePiper, "" }), "speech.upstreams[server].voices must name"},
		"google without a key": {with(func(u *Upstream) { u.Type, u.DefaultModel = typeGoogle, "" }), "speech.upstreams[server].api_key is not set"},
		"gtts with a key":      {with(func(u *Upstream) { u.Type, u.DefaultModel, u.APIKey = typeGTTS, "", "SECRET" }), "the type google"},
		"gtts with models":     {with(func(u *Upstream) { u.Type = typeGTTS }), "not for the type gtts"},
		"gtts with limits":     {with(func(u *Upstream) { u.Type, u.DefaultModel, u.Limits.Retries = typeGTTS, "", 1 }), "set timeouts"},
		"no model":             {with(func(u *Upstream) { u.DefaultModel = "" }), "default_model"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.config, Deps{Now: testkit.NewClock().Now})
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

func TestGTTSSpeaksOnlyWhereItIsEnabled(t *testing.T) {
	for name, test := range map[string]struct {
		providers []string
		enabled   bool
	}{"unset": {nil, false}, "others": {[]string{"local"}, false}, "listed": {[]string{"local", "gtts"}, true}} {
		t.Run(name, func(t *testing.T) {
			module, err := New(Config{Providers: test.providers}, Deps{Now: testkit.NewClock().Now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = module.Close(context.Background()) })
			ways, err := module.service.catalog.plan(t.Context(), Request{Text: "x", Speed: 1, Model: "gtts"})
			refused := err != nil && strings.Contains(err.Error(), "SPEECH_PROVIDERS=gtts")
			if test.enabled == refused || test.enabled != (len(ways) == 1) {
				t.Errorf("%v %v", ways, err)
			}
		})
	}
}

func TestDescribeListsTheOperatorsChoiceFirst(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	config := Config{
		Providers: []string{"server", "gtts"},
		Upstreams: []Upstream{{Name: "server", BaseURL: "http://127.0.0.1:1/v1", DefaultModel: "a", Models: []string{"b", "a"}}},
	}
	b := newBench(t)
	module, err := New(config, b.deps(b.bucket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close(t.Context()) })
	list := module.Describe(t.Context())
	if len(list) != 3 || list[0].Name != "server" || list[1].Name != "gtts" || list[2].Name != "local" {
		t.Fatalf("%+v", list)
	}
	if got := strings.Join(list[0].Models, " "); got != "server/a server/b" || !list[0].Remote {
		t.Errorf("server: %+v", list[0])
	}
	if got := strings.Join(list[1].Models, " "); got != "gtts gtts-slow" || !list[1].Remote || !strings.Contains(list[1].Note, "Google") {
		t.Errorf("gtts: %+v", list[1])
	}
	if list[2].Remote || !strings.Contains(list[2].Note, "espeak-ng is not installed") {
		t.Errorf("local: %+v", list[2])
	}
}

func TestGTTSLanguage(t *testing.T) {
	for tag, want := range map[string]string{
		"en": "en", "en-us": "en", "en-GB": "en", "fr-CA": "fr-CA", "fr-fr": "fr", "pt-PT": "pt-PT", "pt-pt": "pt", "pt-BR": "pt",
		"zh-cn": "zh-CN", "zh-TW": "zh-TW", "zh": "zh", "iw": "iw", "he": "iw", "jv": "jw", "fil": "tl", "ES": "es", "tlh": "", "en-XX": "", "de-DE": "",
	} {
		got, ok := gttsLanguage(tag)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v, want %q", tag, got, ok, want)
		}
	}
	if len(gttsLanguages) != 69 {
		t.Errorf("%d languages", len(gttsLanguages))
	}
	for _, accent := range gttsAccents {
		if !topLevelDomain().MatchString(accent.id) {
			t.Errorf("%s cannot be part of a host", accent.id)
		}
	}
}

func TestCanonicalTag(t *testing.T) {
	for tag, want := range map[string]string{"EN": "en", "zh-hant-tw": "zh-Hant-TW", "es-419": "es-419", "pt-BR": "pt-BR"} {
		if got := canonicalTag(tag); got != want {
			t.Errorf("%s: %s", tag, got)
		}
	}
}
