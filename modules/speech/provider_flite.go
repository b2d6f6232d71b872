package speech

import (
	"context"
	"strings"
	"unicode"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/flite"
)

const (
	fliteModel   = "local/flite"
	fliteMissing = "The English voices were not built into this binary: run `node platform/flite/fetch.mjs` and build it again, " +
		"or install espeak-ng on the server."
)

func (l *local) fliteModel() model {
	m := model{
		id: fliteModel, aliases: []string{"flite"}, provider: l, formats: []audio.Format{audio.WAV},
		longest: MaxCharacters, slowest: flite.MinSpeed, fastest: flite.MaxSpeed,
		languages: []string{"en", "en-US", "en-GB"}, match: fliteLanguage, check: checkLatin,
		note: "CMU Flite, inside this server. English only.",
	}
	for _, v := range l.flite.Voices() {
		own := voice{id: v.ID, name: v.Name, language: v.Language, gender: v.Gender}
		if v.Domain != "" {
			own.note = "Recorded for one subject only: " + v.Domain + "."
		}
		m.voices = append(m.voices, own)
	}
	if l.flite.Available() != nil {
		m.missing = fliteMissing
	}
	return m
}

// fliteLanguage takes every region's English; only the accents of two exist.
func fliteLanguage(language string) (spoken, standard string, ok bool) {
	if primary(language) != "en" {
		return "", "", false
	}
	spoken = canonicalTag(language)
	if spoken == "en-GB" {
		return spoken, "awb", true
	}
	return spoken, flite.DefaultVoice, true
}

// checkLatin refuses what cannot hold an English word, before anything is
// stored. The engine has the last word.
func checkLatin(u utterance) []fault.Field {
	speakable := strings.ContainsFunc(u.text, func(r rune) bool {
		return unicode.Is(unicode.Latin, r) || unicode.IsNumber(r) || unicode.IsSymbol(r) || strings.ContainsRune("%&@#", r)
	})
	if speakable {
		return nil
	}
	return []fault.Field{{Field: "text", Code: "nothing_to_say",
		Message: "holds nothing that can be said in English; name its language"}}
}

func (l *local) speakFlite(ctx context.Context, u utterance) ([]byte, error) {
	return l.flite.Synthesize(ctx, flite.Params{Text: u.text, Voice: u.voice, Speed: u.speed})
}
