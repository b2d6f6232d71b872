package speech

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/probe"
)

// catalog knows every provider and decides which of them serves a request.
type catalog struct {
	order       []provider // for requests that name no model, in the operator's order
	all         []provider // everyone whose models may be named
	aliases     []Alias
	convertible func(from, to audio.Format) bool
}

// plan returns how to serve a request: one way when it names a model, each model
// of an alias that can, otherwise the best of each provider that can, in the
// operator's order. Errors are Invalid with everything that is wrong, or
// Unavailable when the request is fine but what it needs is missing on this
// server. Nobody is called.
func (c *catalog) plan(ctx context.Context, r Request) ([]utterance, error) {
	r, wrong := r.checked()
	var choices [][]model
	switch named, is := c.alias(r.Model); {
	case is:
		choices = c.members(ctx, named)
	case r.Model != "":
		return c.planNamed(ctx, r, wrong)
	default:
		for _, p := range c.order {
			choices = append(choices, p.models(ctx))
		}
	}
	return c.planChoices(choices, r, wrong)
}

// planChoices returns of each choice the first model that can serve the
// request. wrong is what no model can do.
func (c *catalog) planChoices(choices [][]model, r Request, wrong []fault.Field) ([]utterance, error) {
	var ways []utterance
	var nearest []fault.Field // what keeps the model that comes nearest from it
	var missing []model
	for _, models := range choices {
		way, found, problems, absent := c.choose(models, r)
		if found {
			ways = append(ways, way)
		}
		nearest = nearer(nearest, problems)
		missing = append(missing, absent...)
	}
	switch {
	case len(ways) > 0 && len(wrong) == 0:
		return ways, nil
	case len(ways) > 0:
		return nil, invalid(wrong)
	case len(nearest) > 0 || len(wrong) > 0:
		return nil, invalid(merged(wrong, withHint(nearest, missing)))
	default:
		return nil, unavailable(missing[0])
	}
}

// choose finds the first model that can serve the request.
func (c *catalog) choose(models []model, r Request) (way utterance, found bool, problems []fault.Field, missing []model) {
	for _, m := range models {
		if m.missing != "" {
			missing = append(missing, m)
			continue
		}
		u, wrong := m.plan(r, c.convertible)
		if len(wrong) == 0 {
			return u, true, nil, missing
		}
		problems = nearer(problems, wrong)
	}
	return utterance{}, false, problems, missing
}

// nearer returns which of two models' problems to tell: those of the one that
// speaks the language, then the fewer, then the first. None means that there
// was no model.
func nearer(first, second []fault.Field) []fault.Field {
	switch {
	case len(first) == 0:
		return second
	case len(second) == 0:
		return first
	case speaks(first) != speaks(second):
		if speaks(second) {
			return second
		}
		return first
	case len(second) < len(first):
		return second
	default:
		return first
	}
}

func speaks(problems []fault.Field) bool {
	return !slices.ContainsFunc(problems, func(f fault.Field) bool { return f.Field == "language" })
}

func (c *catalog) planNamed(ctx context.Context, r Request, wrong []fault.Field) ([]utterance, error) {
	m, problem := c.find(ctx, r.Model)
	if problem != nil {
		return nil, invalid(append(wrong, *problem))
	}
	if m.missing != "" {
		if len(wrong) > 0 {
			return nil, invalid(wrong)
		}
		return nil, unavailable(m)
	}
	u, more := m.plan(r, c.convertible)
	if wrong = merged(wrong, more); len(wrong) > 0 {
		return nil, invalid(wrong)
	}
	return []utterance{u}, nil
}

// find returns the model that goes by this name, or what is wrong with it.
func (c *catalog) find(ctx context.Context, name string) (model, *fault.Field) {
	var ids []string
	for _, p := range c.all {
		for _, m := range p.models(ctx) {
			if m.known(name) {
				return m, nil
			}
			ids = append(ids, m.id)
		}
	}
	for _, a := range c.aliases {
		ids = append(ids, a.Name)
	}
	if name == gttsName || name == gttsSlow {
		return model{}, &fault.Field{Field: "model", Code: "model_not_enabled",
			Message: "sends the text to Google, so the operator must enable it with SPEECH_PROVIDERS=gtts"}
	}
	return model{}, &fault.Field{Field: "model", Code: "unknown_model", Message: "is not a model here; there are " + someOf(ids)}
}

// withHint tells about models that are not installed where a language is what
// is missing.
func withHint(wrong []fault.Field, missing []model) []fault.Field {
	out := make([]fault.Field, 0, len(wrong))
	for _, field := range wrong {
		if field.Code == "unsupported_language" && len(missing) > 0 {
			field.Message += fmt.Sprintf(". %s may: %s", missing[0].id, missing[0].missing)
		}
		out = append(out, field)
	}
	return out
}

// merged returns both lists, of the second only what concerns other fields.
func merged(wrong, more []fault.Field) []fault.Field {
	named := map[string]bool{}
	for _, field := range wrong {
		named[field.Field] = true
	}
	for _, field := range more {
		if !named[field.Field] {
			wrong = append(wrong, field)
		}
	}
	return wrong
}

func invalid(wrong []fault.Field) error {
	var fields fault.Fields
	for _, field := range wrong {
		fields.Add(field.Field, field.Code, field.Message)
	}
	return fields.Err()
}

func unavailable(m model) error {
	missing := fault.New(fault.Unavailable, "voice_unavailable", m.missing).With("model", m.id)
	missing.Final = true // until the operator installs it
	return missing
}

// describe sums up a provider for the operator.
func (c *catalog) describe(ctx context.Context, p provider) ProviderStatus {
	status := ProviderStatus{Name: p.name()}
	var notes []string
	for _, m := range p.models(ctx) {
		status.Remote = status.Remote || m.remote
		note := m.note
		if m.missing != "" {
			note = m.missing
		} else {
			status.Models = append(status.Models, m.id)
		}
		if len(notes) == 0 || notes[len(notes)-1] != note {
			notes = append(notes, note)
		}
	}
	status.Note = strings.Join(notes, " ")
	if remote, ok := p.(interface{ endpoint() *probe.Endpoint }); ok {
		status.Endpoint = remote.endpoint()
	}
	return status
}
