package speech

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
)

// Limits of every request, whatever the model.
const (
	MaxCharacters = 5000 // of text, after space around it is taken off
	MinSpeed      = 0.25
	MaxSpeed      = 4.0

	maxName = 100 // characters of a model's or voice's name
)

// Request asks for speech. Only Text is required.
type Request struct {
	Text     string
	Language string // BCP 47; "" = the voice's, else DefaultLanguage
	Voice    string // "" = the model's own for the language
	Model    string // "" = what the operator ordered
	Speed    float64
	Format   audio.Format // "" = the model's own

	Preferred  audio.Format // for a request without Format: made where the model can
	VoiceIsTip bool         // a model that does not have the voice takes its own
}

// checked returns the request in the form that is kept, and everything that is
// wrong with it for any model. What is wrong is replaced by its default, so
// that the rest can be checked against a model.
func (r Request) checked() (Request, []fault.Field) {
	var wrong []fault.Field
	add := func(field, code, message string) {
		wrong = append(wrong, fault.Field{Field: field, Code: code, Message: message})
	}
	r.Text = strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(r.Text))
	if problem := textProblem(r.Text); problem != nil {
		wrong = append(wrong, *problem)
		r.Text = "text"
	}
	if r.Language != "" && !languageTag().MatchString(r.Language) {
		add("language", "invalid_language", "must be a language tag such as en, pt-BR or zh-CN")
		r.Language = ""
	}
	if !plainName(r.Voice) {
		add("voice", "unknown_voice", fmt.Sprintf("must be a name of at most %d characters; see GET /speech/voices", maxName))
		r.Voice = ""
	}
	if !(r.Speed >= MinSpeed && r.Speed <= MaxSpeed) { // refuses NaN too
		add("speed", "out_of_range", fmt.Sprintf("must be %v to %v", MinSpeed, MaxSpeed))
		r.Speed = 1
	}
	switch r.Format {
	case "", audio.MP3, audio.WAV:
	default:
		add("format", "unsupported_format", "must be mp3 or wav")
		r.Format = ""
	}
	return r, wrong
}

func textProblem(text string) *fault.Field {
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return &fault.Field{Field: "text", Code: "required", Message: "must not be empty"}
	case n > MaxCharacters:
		return &fault.Field{Field: "text", Code: "too_long", Message: fmt.Sprintf("has %d characters; at most %d are spoken", n, MaxCharacters)}
	case strings.ContainsFunc(text, forbidden):
		return &fault.Field{Field: "text", Code: "invalid_character", Message: "must not contain control characters except newline and tab"}
	case !utf8.ValidString(text):
		return &fault.Field{Field: "text", Code: "invalid_character", Message: "must be valid UTF-8"}
	case !strings.ContainsFunc(text, sounds):
		problem := nothingToSay()
		return &problem
	}
	return nil
}

func forbidden(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// sounds reports whether some voice could say the character.
func sounds(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) || strings.ContainsRune("%&@#", r)
}

func plainName(name string) bool {
	return utf8.RuneCountInString(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}
