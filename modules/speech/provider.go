package speech

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
)

// provider makes speech with one or more models.
type provider interface {
	// name is how operators and answers call it.
	name() string
	// models lists what it can speak with, the one to use when none is named
	// first. It answers from memory, or at once.
	models(ctx context.Context) []model
	// speak makes the sound of an utterance that one of its models planned. What
	// it returns is of the utterance's format. Every failure is a fault that
	// names the provider, or the context's error.
	speak(ctx context.Context, u utterance) (recording, error)
}

// utterance is a checked request in the terms of one model.
type utterance struct {
	provider provider
	model    string
	text     string
	language string
	voice    string  // "" when the model has none to choose
	speed    float64 // within the model's range
	format   audio.Format
	native   audio.Format // what the provider is to make; converted when it differs from format
	cost     float64      // in US dollars, when it is spoken
}

// recording is what a provider made.
type recording struct {
	sound  []byte
	status int // the provider's HTTP status; 200 for a local one
}

// voice is one speaker of a model.
type voice struct {
	id       string
	name     string
	language string // BCP 47; "" for any
	gender   string // "female", "male" or ""
	note     string
}

// model is what a provider can speak with, as data: everything that must be
// known to refuse a request before anything is stored or sent.
type model struct {
	id       string
	aliases  []string
	provider provider
	remote   bool   // text leaves this machine
	missing  string // why it cannot be used now and what to do; "" when it can
	note     string

	formats  []audio.Format // what it makes, its own first
	voices   []voice
	anyVoice bool // voices are not known here: the provider checks them
	// languageOf tells the language of a voice that is not known here, "" where
	// it cannot; nil = it never can.
	languageOf func(voice string) string
	longest    int     // characters of text
	price      float64 // US dollars for a million characters; 0 = not known
	slowest    float64 // range of speed
	fastest    float64
	languages  []string // to name in errors; nil = any
	// match returns how the model calls a language and which voice speaks it
	// unless one is named. false: it cannot speak it.
	match func(language string) (spoken, defaultVoice string, ok bool)
	// check returns what else is wrong with an utterance; nil = nothing ever is.
	check func(u utterance) []fault.Field
}

// known reports whether a request may call the model by this name.
func (m model) known(name string) bool { return m.id == name || slices.Contains(m.aliases, name) }

// findVoice returns the voice with this id, the one for the language where
// several share it.
func (m model) findVoice(id, language string) (voice, bool) {
	if m.anyVoice {
		unknown := voice{id: id}
		if m.languageOf != nil {
			unknown.language = m.languageOf(id)
		}
		return unknown, true
	}
	var found voice
	exists := false
	for _, v := range m.voices {
		switch {
		case v.id != id:
		case language != "" && sameLanguage(v.language, language):
			return v, true
		case !exists:
			found, exists = v, true
		}
	}
	return found, exists
}

// plan turns a request into an utterance of this model, or says what the model
// cannot do. convertible tells which other formats can be made of its own.
func (m model) plan(r Request, convertible func(from, to audio.Format) bool) (utterance, []fault.Field) {
	u := utterance{provider: m.provider, model: m.id, text: r.Text, speed: r.Speed, cost: m.cost(r.Text)}
	var wrong []fault.Field
	wrong = append(wrong, m.planVoice(r, &u)...)
	wrong = append(wrong, m.planFormat(r, &u, convertible)...)
	if r.Speed < m.slowest || r.Speed > m.fastest {
		wrong = append(wrong, fault.Field{Field: "speed", Code: "unsupported_speed", Message: m.speedMessage()})
	}
	if n := len([]rune(r.Text)); n > m.longest {
		wrong = append(wrong, fault.Field{Field: "text", Code: "too_long",
			Message: fmt.Sprintf("has %d characters; %s takes at most %d", n, m.id, m.longest)})
	}
	if len(wrong) == 0 && m.check != nil {
		wrong = m.check(u)
	}
	return u, wrong
}

func (m model) speedMessage() string {
	if m.slowest == m.fastest {
		return m.id + " speaks at one speed only; leave speed out"
	}
	return fmt.Sprintf("must be %.2f to %.2f for %s", m.slowest, m.fastest, m.id)
}

// planVoice settles language and voice, which follow from each other where only
// one is named.
func (m model) planVoice(r Request, u *utterance) []fault.Field {
	var wrong []fault.Field
	chosen, exists := m.findVoice(r.Voice, r.Language)
	if !exists && r.VoiceIsTip {
		r.Voice = ""
	}
	if r.Voice != "" && !exists {
		wrong = append(wrong, fault.Field{Field: "voice", Code: "unknown_voice", Message: m.voiceMessage()})
	}
	language := r.Language
	if language == "" && exists && r.Voice != "" {
		language = chosen.language
	}
	if language == "" {
		language = DefaultLanguage
	}
	spoken, standard, speaks := m.match(language)
	switch {
	case !speaks:
		wrong = append(wrong, fault.Field{Field: "language", Code: "unsupported_language",
			Message: fmt.Sprintf("%s cannot speak it; it speaks %s. GET /speech/voices lists what every model speaks", m.id, someOf(m.languages))})
	case r.Voice != "" && exists && chosen.language != "" && !sameLanguage(chosen.language, spoken):
		wrong = append(wrong, fault.Field{Field: "voice", Code: "voice_language_mismatch",
			Message: fmt.Sprintf("speaks %s; leave language out or choose a voice for %s", chosen.language, language)})
	}
	u.language, u.voice = spoken, standard
	if r.Voice != "" {
		u.voice = r.Voice
	}
	return wrong
}

func (m model) voiceMessage() string {
	if len(m.voices) == 0 {
		return m.id + " has no voices to choose from; leave voice out"
	}
	ids := make([]string, 0, len(m.voices))
	for _, v := range m.voices {
		ids = append(ids, v.id)
	}
	return fmt.Sprintf("%s does not have it; it has %s", m.id, someOf(ids))
}

func (m model) planFormat(r Request, u *utterance, convertible func(from, to audio.Format) bool) []fault.Field {
	u.native, u.format = m.formats[0], m.formats[0]
	if r.Format == "" && (slices.Contains(m.formats, r.Preferred) || convertible(u.native, r.Preferred)) {
		r.Format = r.Preferred
	}
	if r.Format == "" {
		return nil
	}
	u.format = r.Format
	if slices.Contains(m.formats, r.Format) {
		u.native = r.Format
		return nil
	}
	if convertible(u.native, r.Format) {
		return nil
	}
	names := make([]string, 0, len(m.formats))
	for _, format := range m.formats {
		names = append(names, string(format))
	}
	return []fault.Field{{Field: "format", Code: "unsupported_format", Message: fmt.Sprintf(
		"%s makes %s only; with lame or ffmpeg installed on the server it is converted", m.id, strings.Join(names, " and "))}}
}

// someOf lists names, cut to what a person reads.
func someOf(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more: see GET /speech/voices", strings.Join(names[:most], ", "), len(names)-most)
}
