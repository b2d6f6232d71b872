package speech

import (
	"fmt"
	"slices"
	"strings"
)

// onlyVoices refuses models of a type that has none to choose from.
func (u Upstream) onlyVoices() error {
	if u.DefaultModel != "" || len(u.Models) > 0 {
		return fmt.Errorf("%s and models are not for the type %s: it has voices, which belong in %s", u.key("default_model"), u.Type, u.key("voices"))
	}
	return nil
}

// voiceLanguage returns the language that a voice's name tells, "" where it
// tells none.
func (u Upstream) voiceLanguage(voice string) string {
	if u.Type == typePiper {
		return piperLanguage(voice)
	}
	return googleLanguage(voice)
}

// voiced completes the only model of a server whose voices are configured and
// tell their language.
func (r *remote) voiced(p provider, id string, m model) model {
	u := r.upstream
	m.id, m.aliases, m.provider, m.remote = u.Name+"/"+id, []string{u.Name}, p, true
	m.longest, m.price = u.MaxCharacters, u.price(id)
	m.anyVoice, m.languageOf = len(u.Voices) == 0, u.voiceLanguage
	for _, name := range u.Voices {
		language := u.voiceLanguage(name)
		m.voices = append(m.voices, voice{id: name, name: name, language: language})
		if language != "" && !slices.Contains(m.languages, language) {
			m.languages = append(m.languages, language)
		}
	}
	return m
}

// matchVoice returns the first configured voice for a language: of its region,
// else of another one, else one whose name does not tell.
func (r *remote) matchVoice(language string) (spoken, standard string, ok bool) {
	fits := []func(of string) bool{
		func(of string) bool { return strings.EqualFold(of, language) },
		func(of string) bool { return of != "" && sameLanguage(of, language) },
		func(of string) bool { return of == "" },
	}
	for _, fit := range fits {
		for _, name := range r.upstream.Voices {
			if fit(r.upstream.voiceLanguage(name)) {
				return canonicalTag(language), name, true
			}
		}
	}
	return "", "", false
}
