package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"llmhist/platform/fault"
	"llmhist/platform/picture"
	"llmhist/platform/probe"
)

// Model is one thing that makes pictures.
type Model struct {
	ID          string
	Description string
	Sizes       []string // the sizes it makes; nil = any from 64 to 2048
	SizeStep    int      // both sides must be a multiple of it; 0 = any
	Styles      []string // the styles it knows; nil = free text
	Seeds       bool     // the same seed gives the same picture
	Prices      []Price  // of this model; nil = it costs nothing
}

// Task is one picture to make.
type Task struct {
	Model          string // one of the provider's models
	Prompt         string
	NegativePrompt string
	Style          string
	Size           Size
	Seed           int64
}

// Output is what a provider made.
type Output struct {
	Picture       picture.Picture
	Seed          *int64 // nil where the provider was given none
	ProviderModel string // the model the provider says it used, if it says so
	SentPrompt    string // what was sent when it is not the prompt itself
	RevisedPrompt string // what the provider made of the prompt, if it says so
	InputTokens   int64
	OutputTokens  int64
}

// provider makes pictures. Its faults name it and carry neither a key nor the
// provider's own words. Implementations are safe for concurrent use.
type provider interface {
	// status describes it for operators.
	status() ProviderStatus
	// models lists what it makes pictures with, the default first.
	models() []Model
	// generate makes one picture. Invalid and TooLarge faults are the
	// request's, all others the provider's; a context that ended is returned
	// as its own error.
	generate(ctx context.Context, task Task) (Output, error)
	// close ends idle connections.
	close()
}

// ProviderStatus describes a provider for start-up lines and doctor.
type ProviderStatus struct {
	Name   string
	Models []string // as GET /image/models lists them, the default first
	Remote bool     // prompts leave this machine
	Note   string   // what the operator should know; "" = nothing

	Endpoint *probe.Endpoint // where it is and how to ask it; nil = in this process
}

// candidate is a provider's model that can serve a request.
type candidate struct {
	id       string // unique among all models
	provider provider
	name     string // of the provider
	model    Model
}

// seed returns the seed that decides the picture, nil where the model takes
// none.
func (c candidate) seed(task Task) *int64 {
	if !c.model.Seeds {
		return nil
	}
	return &task.Seed
}

// router finds who serves a request.
type router struct {
	providers []provider  // in the operator's order
	models    []candidate // of all providers, in that order
	aliases   []alias
	ordered   bool // by the operator, so that one may stand in for another
}

func newRouter(providers []provider, ordered bool) *router {
	r := &router{providers: providers, ordered: ordered}
	taken := map[string]bool{}
	for _, p := range providers {
		name := p.status().Name
		for _, model := range p.models() {
			id := model.ID
			if taken[id] {
				id = name + "/" + model.ID
			}
			taken[id] = true
			r.models = append(r.models, candidate{id: id, provider: p, name: name, model: model})
		}
	}
	return r
}

// close ends idle connections.
func (r *router) close() {
	for _, p := range r.providers {
		p.close()
	}
}

// find returns who may serve a request for the model: for "" the default model
// of the first provider, followed, where the operator ordered them, by those of
// the others as fallbacks; for an alias all its models; for any other name
// exactly one, or nothing.
func (r *router) find(model string) []candidate {
	if model == "" {
		var defaults []candidate
		for _, c := range r.models {
			if len(defaults) == 0 || r.ordered && defaults[len(defaults)-1].name != c.name {
				defaults = append(defaults, c)
			}
		}
		return defaults
	}
	for _, a := range r.aliases {
		if a.name == model {
			return a.candidates
		}
	}
	if one, known := r.findModel(model); known {
		return []candidate{one}
	}
	return nil
}

// findModel returns the model of this id, or of "provider/id".
func (r *router) findModel(model string) (candidate, bool) {
	for _, c := range r.models {
		if c.id == model {
			return c, true
		}
	}
	for _, c := range r.models {
		if rest, ok := strings.CutPrefix(model, c.name+"/"); ok && rest == c.model.ID {
			return c, true
		}
	}
	return candidate{}, false
}

// checkSize says what is wrong with a size for the model: "" when nothing is.
func (m Model) checkSize(size Size) string {
	switch {
	case len(m.Sizes) > 0 && !slices.Contains(m.Sizes, size.String()):
		return fmt.Sprintf("the model %s makes only %s", m.ID, strings.Join(m.Sizes, ", "))
	case m.SizeStep > 0 && (size.Width%m.SizeStep != 0 || size.Height%m.SizeStep != 0):
		return fmt.Sprintf("both sides must be a multiple of %d for the model %s", m.SizeStep, m.ID)
	}
	return ""
}

// checkStyle says what is wrong with a style for the model: "" when nothing is.
func (m Model) checkStyle(style string) string {
	if style == "" || m.Styles == nil || slices.Contains(m.Styles, style) {
		return ""
	}
	return fmt.Sprintf("the model %s knows the styles %s", m.ID, strings.Join(m.Styles, ", "))
}

// defaultSize is the size of a request that names none.
func (m Model) defaultSize() string {
	const usual = "512x512"
	if len(m.Sizes) == 0 || slices.Contains(m.Sizes, usual) {
		return usual
	}
	return m.Sizes[0]
}

// gate lets a bounded number of callers in at a time.
type gate chan struct{}

// enter waits for a place, or for the end of ctx. Call leave afterwards.
func (g gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// maxSourcePixels is what a provider may send for one picture: four times the
// largest that can be asked for, and what a small machine can decode.
const maxSourcePixels = 4 * 2048 * 2048

// convert turns what a provider sent into a PNG, one picture a core at a time.
func convert(ctx context.Context, cores gate, provider string, data []byte) (picture.Picture, error) {
	if err := cores.enter(ctx); err != nil {
		return picture.Picture{}, err
	}
	defer cores.leave()
	made, err := picture.Normalize(ctx, data, picture.Limits{MaxPixels: maxSourcePixels})
	switch {
	case err == nil:
		return made, nil
	case ctx.Err() != nil:
		return picture.Picture{}, ctx.Err()
	case errors.Is(err, picture.ErrTooLarge):
		return picture.Picture{}, badAnswer(err, provider, "provider_picture_too_large", "sent a picture that is larger than this server accepts")
	default:
		return picture.Picture{}, badAnswer(err, provider, "provider_bad_picture", "sent something that is not a whole PNG, JPEG, GIF or WebP picture")
	}
}

// badAnswer is the fault of a provider that answered, but not usefully.
func badAnswer(cause error, provider, code, what string) error {
	return fault.Wrap(cause, fault.BadUpstream, code, fmt.Sprintf("The provider %q %s.", provider, what)).With("provider", provider)
}
