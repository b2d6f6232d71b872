package image

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"

	"llmhist/platform/fault"
)

// The bounds of a request, in characters.
const (
	maxPrompt = 4000
	maxStyle  = 100
	maxQuery  = 200
	maxSeed   = 1<<31 - 1
)

// Params ask for a picture.
type Params struct {
	Prompt         string
	NegativePrompt string
	Size           string // "" = the model's usual one
	Style          string
	Seed           *int64 // nil = chosen
	Model          string // "" = the operator's choice
}

// plan is a request that was found good, and who may serve it.
type plan struct {
	params     Params
	candidates []candidate // the first serves; the others stand in when it fails
	task       Task        // without the model
}

// check returns the plan for p, or one fault that names everything wrong.
func (r *router) check(p Params) (plan, error) {
	var fields fault.Fields
	p.Prompt, p.NegativePrompt, p.Style = tidy(p.Prompt), tidy(p.NegativePrompt), tidy(p.Style)
	fields.Check(p.Prompt != "", "prompt", "required", "must not be empty")
	checkText(&fields, "prompt", p.Prompt, maxPrompt)
	checkText(&fields, "negative_prompt", p.NegativePrompt, maxPrompt)
	checkText(&fields, "style", p.Style, maxStyle)
	seed := rand.Int64N(maxSeed + 1)
	if p.Seed != nil {
		seed = *p.Seed
		fields.Check(seed >= 0 && seed <= maxSeed, "seed", "out_of_range", fmt.Sprintf("must be 0 to %d", maxSeed))
	}
	candidates := r.find(p.Model)
	fields.Check(len(candidates) > 0, "model", "unknown_model", "is not a model of this server; GET /image/models lists them")
	size := checkSize(&fields, candidates, &p.Size)
	if len(candidates) > 0 {
		problem := candidates[0].model.checkStyle(p.Style)
		fields.Check(problem == "", "style", "unsupported", problem)
	}
	if err := fields.Err(); err != nil {
		return plan{}, err
	}
	task := Task{Prompt: p.Prompt, NegativePrompt: p.NegativePrompt, Style: p.Style, Size: size, Seed: seed}
	return plan{params: p, candidates: able(candidates, task), task: task}, nil
}

// able leaves out stand-ins that do not make what the first candidate does.
func able(candidates []candidate, task Task) []candidate {
	list := candidates[:1:1]
	for _, c := range candidates[1:] {
		if c.model.checkSize(task.Size) == "" && c.model.checkStyle(task.Style) == "" {
			list = append(list, c)
		}
	}
	return list
}

func checkSize(fields *fault.Fields, candidates []candidate, text *string) Size {
	var model Model
	if len(candidates) > 0 {
		model = candidates[0].model
	}
	if *text == "" {
		*text = model.defaultSize()
	}
	size, err := ParseSize(*text)
	switch {
	case errors.Is(err, errSizeRange):
		fields.Add("size", "out_of_range", err.Error())
	case err != nil:
		fields.Add("size", "invalid", err.Error())
	default:
		problem := model.checkSize(size)
		fields.Check(problem == "", "size", "unsupported", problem)
	}
	return size
}

// tidy removes outer space and the carriage returns of some systems' newlines.
func tidy(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

func checkText(fields *fault.Fields, name, text string, limit int) {
	if n := utf8.RuneCountInString(text); n > limit {
		fields.Add(name, "too_long", fmt.Sprintf("must be at most %d characters, not %d", limit, n))
	}
	forbidden := func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }
	fields.Check(!strings.ContainsFunc(text, forbidden), name, "invalid_character",
		"must not contain control characters other than newline and tab")
}
