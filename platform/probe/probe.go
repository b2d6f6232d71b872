// Package probe asks a provider what it offers without making it generate
// anything, so that an operator learns whether address, key and models are
// right and nothing is billed.
package probe

import (
	"context"
	"net/http"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
)

// Endpoint says where a provider is and how it can be asked.
type Endpoint struct {
	BaseURL  string   // as configured, without credentials
	ListURL  string   // where it lists its models; "" = nothing can be asked without generating
	OpenList bool     // it lists them for everyone, so that the list says nothing of a key
	Members  bool     // the list is an object with a member of each one's name
	NoList   string   // what the operator should do where it has no such list; "" = as of most services
	HasKey   bool     // the operator gave a credential
	Models   []string // the configured ones as the provider calls them, the default first
	Noun     string   // what they are; "" = models
	Settings Settings
	// Authorize adds the credentials to a request; nil = there are none. They
	// are behind a function, so that printing an Endpoint shows none.
	Authorize func(header http.Header)
}

// Settings are how the operator spells what can be wrong with an Endpoint.
type Settings struct {
	Address, Key string
	Model        string // the default one
	Models       string // the others
}

// ModelSetting returns how the operator spells where a model is configured.
func (e Endpoint) ModelSetting(model string) string {
	if len(e.Models) > 0 && e.Models[0] == model {
		return e.Settings.Model
	}
	return e.Settings.Models
}

// The bounds of one question.
const (
	connectTime = 5 * time.Second
	maxList     = 8 << 20 // services that resell others list thousands of models
)

var answerTime = 10 * time.Second // a variable for tests

// List asks the provider called name for its models, for at most 10 seconds. An
// error is a fault as package outbound makes them, with the code
// "provider_bad_answer" for an answer that is no list, or the context's own.
// None of them holds words of the provider or a credential.
func List(ctx context.Context, name string, endpoint Endpoint) (Models, error) {
	client := outbound.New(name, outbound.Limits{
		Connect: connectTime, FirstByte: answerTime, Idle: answerTime, Total: answerTime, MaxBytes: maxList,
	})
	defer client.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.ListURL, nil)
	if err != nil {
		return nil, badAnswer(name, "has an address that cannot be used")
	}
	if endpoint.Authorize != nil {
		endpoint.Authorize(request.Header)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "llmhist")
	response, err := client.Do(ctx, request)
	if err != nil {
		return nil, err
	}
	kind := outbound.MediaType(response)
	data, err := client.ReadAll(response)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(kind, "html") {
		return nil, badAnswer(name, "answered with a web page where a list of models was expected")
	}
	models, err := endpoint.parse(data)
	if err != nil {
		return nil, badAnswer(name, "answered with something that is no list of models")
	}
	return models, nil
}

func (e Endpoint) parse(data []byte) (Models, error) {
	if e.Members {
		return parseMembers(data)
	}
	return parseModels(data)
}

func badAnswer(provider, what string) error {
	return fault.New(fault.BadUpstream, "provider_bad_answer", "The provider \""+provider+"\" "+what+".").With("provider", provider)
}
