package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"llmhist/platform/fault"
)

// Provider answers prompts: a remote service, or the built-in guide.
type Provider interface {
	// Name is how operators and users know it: "openai", "local".
	Name() string
	// Models lists the ids it answers to, its default first. There is at least
	// one, and that never changes.
	Models() []string
	// Answer sends the request and hands the text of the answer to emit in
	// order as it comes, at once when the request is not streamed. An error of
	// emit ends the call and is returned as it is. Other errors are faults that
	// name the provider, or the error of a ctx that ended; text that was
	// emitted before an error is a part of an answer.
	Answer(ctx context.Context, request Request, emit func(text string) error) (Result, error)
}

// Request is one question to a provider.
type Request struct {
	Model       string // one of Provider.Models
	Messages    []PromptMessage
	Temperature *float64 // nil = the provider's default
	MaxTokens   int64    // of the answer; 0 = the provider's default
	Stream      bool     // the caller wants the text in pieces
	// Hold is called before more of an answer than longDocument is held in memory at
	// once, and waits until there is enough. nil = there always is.
	Hold func(ctx context.Context) error
}

// PromptMessage is one message of a prompt.
type PromptMessage struct {
	Role    string // "system", "user" or "assistant"
	Content string
}

// Result is what a provider says about an answer besides its text.
type Result struct {
	FinishReason string // "stop", "length", "content_filter", …
	InputTokens  int64
	OutputTokens int64
	Counted      bool // the provider reported the tokens
}

// Model is one entry of the catalogue.
type Model struct {
	ID       string
	Provider string
	Default  bool // answers requests that name no model
}

// target is a provider together with the model it is asked for.
type target struct {
	provider Provider
	model    string
}

// catalogue finds providers by model id.
type catalogue struct {
	providers []Provider
	aliases   []alias
}

// alias is a name of the operator's for models that stand in for each other.
type alias struct {
	name    string
	targets []target // in order, at least one
}

// models lists every model in the order of the providers.
func (c catalogue) models() []Model {
	list := []Model{}
	for i, provider := range c.providers {
		for j, id := range provider.Models() {
			if c.isAlias(id) { // a service began to list one of that name
				continue
			}
			list = append(list, Model{ID: id, Provider: provider.Name(), Default: i == 0 && j == 0})
		}
	}
	for _, a := range c.aliases {
		list = append(list, Model{ID: a.name, Provider: a.targets[0].provider.Name()})
	}
	return list
}

// resolve returns who answers for a model, in order: all of an alias, or the one
// that find finds.
func (c catalogue) resolve(model string) ([]target, bool) {
	for _, a := range c.aliases {
		if a.name == model {
			return a.targets, true
		}
	}
	one, known := c.find(model)
	return []target{one}, known
}

func (c catalogue) isAlias(model string) bool {
	return slices.ContainsFunc(c.aliases, func(a alias) bool { return a.name == model })
}

// addAliases adds the operator's names for models. An error names the key that
// has to change.
func (c *catalogue) addAliases(list []Alias) error {
	for _, named := range list {
		if named.Name == "" || len(named.Models) == 0 {
			return errors.New("chat.aliases: each alias needs a name and models")
		}
		if _, taken := c.resolve(named.Name); taken {
			return fmt.Errorf("chat.aliases: the name %q is taken", named.Name)
		}
		made := alias{name: named.Name}
		for _, model := range named.Models {
			one, known := c.find(model)
			if !known {
				return fmt.Errorf("chat.aliases: %q names the model %q, which no provider offers", named.Name, model)
			}
			made.targets = append(made.targets, one)
		}
		c.aliases = append(c.aliases, made)
	}
	return nil
}

// find returns who answers for the model: an exact id of the first provider
// that has it, or "provider/id" to name one of several.
func (c catalogue) find(model string) (target, bool) { return c.findIn(model, Provider.Models) }

func (c catalogue) findIn(model string, offered func(Provider) []string) (target, bool) {
	for _, provider := range c.providers {
		if slices.Contains(offered(provider), model) {
			return target{provider, model}, true
		}
	}
	for _, provider := range c.providers {
		rest, named := strings.CutPrefix(model, provider.Name()+"/")
		if named && slices.Contains(offered(provider), rest) {
			return target{provider, rest}, true
		}
	}
	return target{}, false
}

// embedder is a provider with models that make embeddings and do not chat.
type embedder interface{ EmbeddingModels() []string }

func embeddingModels(provider Provider) []string {
	if e, embeds := provider.(embedder); embeds {
		return e.EmbeddingModels()
	}
	return nil
}

// findEmbedding is find for embeddings. Of a remote provider any model may make
// them: the provider knows.
func (c catalogue) findEmbedding(model string) (target, bool) {
	if to, known := c.findIn(model, embeddingModels); known {
		return to, true
	}
	to, known := c.find(model)
	if _, forwards := to.provider.(forwarder); !forwards {
		return target{}, false
	}
	return to, known
}

// inOrder returns every provider's default model, first choice first.
func (c catalogue) inOrder() []target {
	targets := make([]target, 0, len(c.providers))
	for _, provider := range c.providers {
		targets = append(targets, target{provider, provider.Models()[0]})
	}
	return targets
}

// badAnswer is the fault of a provider whose answer does not keep the protocol.
func badAnswer(provider, what string) *fault.Error {
	return fault.New(fault.BadUpstream, "provider_bad_answer",
		fmt.Sprintf("The provider %q %s. Check its base URL and model.", provider, what)).With("provider", provider)
}
