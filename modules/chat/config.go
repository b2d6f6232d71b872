package chat

import (
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"llmhist/platform/logging"
	"llmhist/platform/outbound"
)

// Where the known services live unless configured otherwise.
const (
	DefaultOpenAIBaseURL = "https://api.openai.com/v1"
	DefaultGitHubAPIBase = "https://models.github.ai/inference"
)

// The bounds of chat when Config sets none.
const (
	DefaultContextTokens  = 8_000
	DefaultMaxAnswerBytes = 1 << 20
)

// Config is what an operator decides about chat. Its zero value is the built-in
// guide alone.
type Config struct {
	// Providers orders the providers by name: "local", "openai", "github" and
	// the names of Upstreams. The first one's default model answers requests
	// that name none; the others are its fallback. Empty means those that are
	// configured, without fallback, and "local" when none is.
	Providers []string `mapstructure:"providers"`
	// ContextTokens bounds a prompt: system, history, question and the room
	// kept for the answer. 0 means DefaultContextTokens.
	ContextTokens int64 `mapstructure:"context_tokens"`
	// MaxAnswerBytes is where an answer is cut. 0 means DefaultMaxAnswerBytes.
	MaxAnswerBytes int `mapstructure:"max_answer_bytes"`

	// Aliases name models that stand in for each other.
	Aliases []Alias `mapstructure:"aliases"`

	OpenAI    OpenAI     `mapstructure:"openai"`
	GitHub    GitHub     `mapstructure:"github"`
	Upstreams []Upstream `mapstructure:"upstreams"`
}

// Alias is a name of the operator's under which users ask for the first of its
// models that answers.
type Alias struct {
	Name   string   `mapstructure:"name"`
	Models []string `mapstructure:"models"` // ids, or "provider/id", in order
}

// Price is what a model costs, in US dollars for a million tokens.
type Price struct {
	Model  string  `mapstructure:"model"`
	Input  float64 `mapstructure:"input"`
	Output float64 `mapstructure:"output"`
}

// OpenAI configures the provider "openai": OpenAI itself or one service that
// speaks its protocol. A key alone does not bring it into use, as many shells
// hold one for other purposes: DefaultModel, or another base URL than OpenAI's
// own, must be set too, or Providers name it.
type OpenAI struct {
	BaseURL      string         `mapstructure:"base_url"` // "" = DefaultOpenAIBaseURL
	APIKey       logging.Secret `mapstructure:"api_key"`  // "" = none is sent
	DefaultModel string         `mapstructure:"default_model"`
	Models       []string       `mapstructure:"models"` // further ones that users may name
	// EmbeddingModels make embeddings and do not chat.
	EmbeddingModels []string `mapstructure:"embedding_models"`
}

// GitHub configures the provider "github", which speaks the protocol of the
// retired GitHub Models service. A token alone does not bring it into use, as
// many shells hold one for other purposes: APIBase or DefaultModel must be set
// too, or Providers name it.
type GitHub struct {
	Token        logging.Secret `mapstructure:"token"`
	APIBase      string         `mapstructure:"api_base"` // "" = DefaultGitHubAPIBase
	DefaultModel string         `mapstructure:"default_model"`
	Models       []string       `mapstructure:"models"`
}

// Upstream configures one more remote provider under a name of its own.
type Upstream struct {
	Name         string         `mapstructure:"name"` // lower case, unique
	Type         string         `mapstructure:"type"` // "openai" (also ""), "azure", "ollama", "pollinations" or "github"
	BaseURL      string         `mapstructure:"base_url"`
	APIKey       logging.Secret `mapstructure:"api_key"`
	DefaultModel string         `mapstructure:"default_model"`
	Models       []string       `mapstructure:"models"`
	// EmbeddingModels make embeddings and do not chat.
	EmbeddingModels []string          `mapstructure:"embedding_models"`
	Prices          []Price           `mapstructure:"prices"`
	Headers         outbound.Headers  `mapstructure:"headers"` // sent with every request
	Timeouts        outbound.Timeouts `mapstructure:"timeouts"`
	Limits          outbound.Policy   `mapstructure:"limits"`
}

// maxUpstreamBytes bounds what one answer may take on the wire: a chunk of
// protocol around every token is many times the text.
const maxUpstreamBytes = 256 << 20

// limits bound every call of the upstream. A first byte may take as long as a
// whole answer that is not streamed; the total is just below the route's own.
func (u Upstream) limits() outbound.Limits {
	return outbound.Limits{
		Connect: 5 * time.Second, FirstByte: 5 * time.Minute, Idle: 2 * time.Minute, Total: 9 * time.Minute,
		MaxBytes: maxUpstreamBytes, Policy: u.Limits,
	}.With(u.Timeouts)
}

const (
	localName  = "local"
	openAIName = "openai"
	gitHubName = "github"
)

// baseURLs are where the services of a type live unless configured otherwise.
var baseURLs = map[string]string{"ollama": "http://127.0.0.1:11434/v1", "pollinations": "https://gen.pollinations.ai/v1"}

var providerName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`) })

// providers builds the configured providers in order. An error names the key
// that has to change.
func (c Config) providers(docs fs.FS) ([]Provider, error) {
	upstreams := map[string]Upstream{openAIName: c.OpenAI.upstream(), gitHubName: c.GitHub.upstream()}
	known := []string{localName, openAIName, gitHubName}
	for _, u := range c.Upstreams {
		if !providerName().MatchString(u.Name) {
			return nil, fmt.Errorf("chat.upstreams: the name %q must be 1 to 40 of a-z, 0-9, '.', '_' and '-'", u.Name)
		}
		if slices.Contains(known, u.Name) {
			return nil, fmt.Errorf("chat.upstreams: the name %q is taken", u.Name)
		}
		known = append(known, u.Name)
		upstreams[u.Name] = u
	}
	names := c.order()
	list := make([]Provider, 0, len(names))
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("CHAT_PROVIDERS names %q twice", name)
		}
		if name == localName {
			list = append(list, newGuide(docs))
			continue
		}
		upstream, ok := upstreams[name]
		if !ok {
			return nil, fmt.Errorf("CHAT_PROVIDERS names %q, which is not a chat provider: known are %s", name, strings.Join(known, ", "))
		}
		provider, err := upstream.provider()
		if err != nil {
			return nil, err
		}
		list = append(list, provider)
	}
	return list, nil
}

// order returns the names to use: as ordered, else those configured, else the
// local one.
func (c Config) order() []string {
	names := slices.Clone(c.Providers)
	if len(names) > 0 {
		return names
	}
	if c.OpenAI.DefaultModel != "" || other(c.OpenAI.BaseURL, DefaultOpenAIBaseURL) {
		names = append(names, openAIName)
	}
	if c.GitHub.Token != "" && (other(c.GitHub.APIBase, DefaultGitHubAPIBase) || c.GitHub.DefaultModel != "") {
		names = append(names, gitHubName)
	}
	for _, u := range c.Upstreams {
		names = append(names, u.Name)
	}
	if len(names) == 0 {
		names = []string{localName}
	}
	return names
}

func other(value, standard string) bool { return value != "" && value != standard }

func (c OpenAI) upstream() Upstream {
	base := c.BaseURL
	if base == "" {
		base = DefaultOpenAIBaseURL
	}
	return Upstream{Name: openAIName, BaseURL: base, APIKey: c.APIKey, DefaultModel: c.DefaultModel, Models: c.Models, EmbeddingModels: c.EmbeddingModels}
}

func (c GitHub) upstream() Upstream {
	base, model := c.APIBase, c.DefaultModel
	if base == "" {
		base = DefaultGitHubAPIBase
	}
	if model == "" {
		model = lastGitHubModel
	}
	return Upstream{Name: gitHubName, Type: gitHubName, BaseURL: base, APIKey: c.Token, DefaultModel: model, Models: c.Models}
}

// key returns how the operator spells a setting of the upstream.
func (u Upstream) key(setting string) string {
	switch u.Name {
	case openAIName:
		return "OPENAI_" + strings.ToUpper(setting)
	case gitHubName:
		return "GITHUB_" + strings.ToUpper(strings.Replace(setting, "base_url", "api_base", 1))
	default:
		return "chat.upstreams[" + u.Name + "]." + setting
	}
}

// provider builds the client of an upstream.
func (u Upstream) provider() (Provider, error) {
	if u.BaseURL == "" {
		u.BaseURL = baseURLs[u.Type]
	}
	base, err := url.Parse(u.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%s must be an address such as https://host/v1", u.key("base_url"))
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%s must hold no password, query or fragment: the key belongs in %s", u.key("base_url"), u.key("api_key"))
	}
	if u.DefaultModel == "" {
		return nil, fmt.Errorf("%s is not set: name the model that answers when a request names none, or set CHAT_PROVIDERS=local for the built-in guide", u.key("default_model"))
	}
	if err := u.Headers.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", u.key("headers"), err)
	}
	for _, price := range u.Prices {
		if price.Model == "" || !(price.Input >= 0) || !(price.Output >= 0) || math.IsInf(price.Input+price.Output, 0) { // refuses NaN too
			return nil, fmt.Errorf("%s: each price needs a model and must not be negative", u.key("prices"))
		}
	}
	switch u.Type {
	case "", openAIName, "azure", "ollama", "pollinations":
		return newOpenAI(u), nil
	case gitHubName:
		if u.APIKey == "" {
			return nil, fmt.Errorf("%s is not set, and the provider %q needs it", u.credential(), u.Name)
		}
		return newGitHub(u), nil
	default:
		return nil, fmt.Errorf("%s is %q: it must be openai, azure, ollama, pollinations or github", u.key("type"), u.Type)
	}
}

// models returns the upstream's models, its default first, each once.
func (u Upstream) models() []string {
	list := []string{u.DefaultModel}
	for _, id := range u.Models {
		if id != "" && id != everyModel && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}
