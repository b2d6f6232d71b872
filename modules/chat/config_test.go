package chat

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/outbound"
)

func TestProvidersFollowTheConfiguration(t *testing.T) {
	openai := OpenAI{APIKey: testKey, DefaultModel: "gpt"}
	more := Upstream{Name: "lab", BaseURL: "http://127.0.0.1:1/v1", DefaultModel: "m", Models: []string{"n", "m", ""}}
	cases := map[string]struct {
		config Config
		want   []string // provider: models
	}{
		"nothing set is the local guide":   {Config{}, []string{"local: [local/guide]"}},
		"a key":                            {Config{OpenAI: openai}, []string{"openai: [gpt]"}},
		"a key alone is somebody else's":   {Config{OpenAI: OpenAI{APIKey: testKey, BaseURL: DefaultOpenAIBaseURL}}, []string{"local: [local/guide]"}},
		"a base URL without a key":         {Config{OpenAI: OpenAI{BaseURL: "http://127.0.0.1:11434/v1", DefaultModel: "gpt"}}, []string{"openai: [gpt]"}},
		"OpenAI's own URL is not a setup":  {Config{OpenAI: OpenAI{BaseURL: DefaultOpenAIBaseURL}}, []string{"local: [local/guide]"}},
		"a token with a base":              {Config{GitHub: GitHub{Token: testKey, APIBase: "http://127.0.0.1:1"}}, []string{"github: [openai/gpt-4o-mini]"}},
		"a token with a model":             {Config{GitHub: GitHub{Token: testKey, DefaultModel: "x/y"}}, []string{"github: [x/y]"}},
		"a token alone is somebody else's": {Config{GitHub: GitHub{Token: testKey, APIBase: DefaultGitHubAPIBase}}, []string{"local: [local/guide]"}},
		"a token that is ordered":          {Config{Providers: []string{"github"}, GitHub: GitHub{Token: testKey}}, []string{"github: [openai/gpt-4o-mini]"}},
		"all that is configured": {Config{OpenAI: openai, GitHub: GitHub{Token: testKey, DefaultModel: "x/y"}, Upstreams: []Upstream{more}},
			[]string{"openai: [gpt]", "github: [x/y]", "lab: [m n]"}},
		"the order given": {Config{Providers: []string{"lab", "local", "openai"}, OpenAI: openai, Upstreams: []Upstream{more}},
			[]string{"lab: [m n]", "local: [local/guide]", "openai: [gpt]"}},
		"local only, whatever is configured": {Config{Providers: []string{"local"}, OpenAI: OpenAI{APIKey: testKey}}, []string{"local: [local/guide]"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			list, err := c.config.providers(nil)
			must(t, err)
			var got []string
			for _, p := range list {
				got = append(got, fmt.Sprintf("%s: %v", p.Name(), p.Models()))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestABadConfigurationNamesTheKeyToChange(t *testing.T) {
	with := func(change func(u *Upstream)) Config {
		u := Upstream{Name: "lab", BaseURL: "http://127.0.0.1:1/v1", APIKey: testKey, DefaultModel: "m"}
		change(&u)
		return Config{Upstreams: []Upstream{u}}
	}
	cases := map[string]struct {
		config Config
		want   string
	}{
		"an unknown provider":       {Config{Providers: []string{"nope"}}, `CHAT_PROVIDERS names "nope"`},
		"a provider twice":          {Config{Providers: []string{"local", "local"}}, `CHAT_PROVIDERS names "local" twice`},
		"openai without a model":    {Config{OpenAI: OpenAI{APIKey: testKey, BaseURL: "http://127.0.0.1:1/v1"}}, "OPENAI_DEFAULT_MODEL is not set"},
		"openai with a bad address": {Config{OpenAI: OpenAI{BaseURL: "127.0.0.1:80/v1", DefaultModel: "m"}}, "OPENAI_BASE_URL must be an address"},
		"a file as an address":      {Config{OpenAI: OpenAI{BaseURL: "file:///etc/passwd", DefaultModel: "m"}}, "OPENAI_BASE_URL must be an address"},
		"github without a token":    {Config{Providers: []string{"github"}}, "GITHUB_TOKEN is not set"},
		"github with a bad address": {Config{GitHub: GitHub{Token: testKey, APIBase: "x"}}, "GITHUB_API_BASE must be an address"},
		"a key in the address":      {with(func(u *Upstream) { u.BaseURL = "http://u:" + testKey + "@h/v1" }), "the key belongs in chat.upstreams[lab].api_key"},
		"a query in the address":    {with(func(u *Upstream) { u.BaseURL += "?key=" + testKey }), "must hold no password, query"},
		"a bad name":                {with(func(u *Upstream) { u.Name = "A B" }), "chat.upstreams: the name"},
		"a taken name":              {with(func(u *Upstream) { u.Name = "local" }), `chat.upstreams: the name "local" is taken`},
		"an upstream without model": {with(func(u *Upstream) { u.DefaultModel = "" }), "chat.upstreams[lab].default_model is not set"},
		"an alias of nothing":       {Config{Aliases: []Alias{{Name: "best"}}}, "chat.aliases: each alias"},
		"an alias of no model":      {Config{Aliases: []Alias{{Name: "best", Models: []string{"gpt-9"}}}}, `names the model "gpt-9", which no provider offers`},
		"an alias that is a model":  {Config{Aliases: []Alias{{Name: "local/guide", Models: []string{"local/guide"}}}}, `the name "local/guide" is taken`},
		"a price below nothing":     {with(func(u *Upstream) { u.Prices = []Price{{Model: "m", Input: -1}} }), "chat.upstreams[lab].prices"},
		"a header of two lines":     {with(func(u *Upstream) { u.Headers = outbound.Headers{"X-Key": testKey + "\n"} }), "chat.upstreams[lab].headers"},
		"an unknown type":           {with(func(u *Upstream) { u.Type = "soap" }), "chat.upstreams[lab].type"},
		"a negative context":        {Config{ContextTokens: -1}, "chat.context_tokens"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.config, Deps{})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), testKey) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestAPrintedConfigurationKeepsItsSecrets(t *testing.T) {
	config := Config{OpenAI: OpenAI{APIKey: testKey}, GitHub: GitHub{Token: testKey},
		Upstreams: []Upstream{{APIKey: testKey, Headers: outbound.Headers{"api-key": testKey}}}}
	if printed := fmt.Sprintf("%v %+v %#v", config, config, config); strings.Contains(printed, testKey) {
		t.Fatal(printed)
	}
}

func TestAModelIsFoundByItsIDOrByProviderAndID(t *testing.T) {
	c := catalogue{providers: []Provider{echoing("one", "a", "b"), echoing("two", "b", "one/b", "c")}}
	for model, want := range map[string]string{
		"a": "one a", "b": "one b", "two/b": "two b", "c": "two c", "two/c": "two c", "one/a": "one a",
		"one/b":     "two one/b", // an exact id comes before a provider's name
		"two/one/b": "two one/b", "": "", "two/": "", "A": "", "three/a": "", "one/c": "",
	} {
		t.Run("model "+model, func(t *testing.T) {
			found, ok := c.find(model)
			got := ""
			if ok {
				got = found.provider.Name() + " " + found.model
			}
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		})
	}
}
