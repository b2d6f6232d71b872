package canvas

import (
	"strings"
	"unicode"
)

// intent is what a prompt says, as far as words say it.
type intent struct {
	key     uint64 // decides everything that the words leave open
	style   string
	wants   motif
	bans    motif
	hour    hour
	colours []lch // in the order named, at most 3
	banned  []lch // at most 8
}

const (
	maxColours = 3
	maxBanned  = 8
)

func readIntent(p Params) *intent {
	words := splitWords(p.Prompt)
	in := &intent{key: scramble(uint64(p.Seed) ^ 0x6c6c6d68697374)}
	negated := false
	for _, word := range words {
		in.key = hashText(in.key, word)
		if word == "no" || word == "without" {
			negated = true
			continue
		}
		if negated {
			in.refuse(word)
			negated = false
			continue
		}
		in.accept(word)
	}
	for _, word := range splitWords(p.NegativePrompt) {
		in.refuse(word)
	}
	if in.has(palm) {
		in.wants &^= tree // "palm trees" are palms
	}
	in.wants &^= in.bans
	in.chooseStyle()
	return in
}

// splitWords lower-cases and cuts at everything that is neither letter nor digit.
func splitWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// lookUp finds a word or, failing that, what is left without its plural s.
func lookUp[T any](table map[string]T, word string) (T, bool) {
	v, ok := table[word]
	if !ok && len(word) > 3 {
		v, ok = table[strings.TrimSuffix(word, "s")]
	}
	return v, ok
}

func (in *intent) accept(word string) {
	if m, ok := lookUp(motifWords, word); ok {
		in.wants |= m
	}
	if h, ok := hourWords[word]; ok && in.hour == anyHour {
		in.hour = h
	}
	if style, ok := lookUp(styleWords, word); ok && in.style == "" {
		in.style = style
	}
	if c, ok := colourWords[word]; ok && len(in.colours) < maxColours {
		in.colours = append(in.colours, c)
	}
}

// refuse takes a word of the negative prompt. A ban on a word that stands for several
// motifs ("harbour") bans them all; a ban on "night" asks for daylight and vice versa.
func (in *intent) refuse(word string) {
	if m, ok := lookUp(motifWords, word); ok {
		in.bans |= m
	} else if h := hourWords[word]; h == night {
		in.hour = day
	} else if h == day {
		in.hour = night
	}
	if c, ok := colourWords[word]; ok && len(in.banned) < maxBanned {
		in.banned = append(in.banned, c)
	}
	if style, ok := lookUp(styleWords, word); ok && in.style == style {
		in.style = ""
	}
}

// chooseStyle settles "auto": a style the prompt names, else the style its motifs belong
// to, else one by the hash.
func (in *intent) chooseStyle() {
	switch {
	case in.style != "":
	case in.wants&northernLights != 0:
		in.style = StyleAurora
	case in.wants&city != 0 && in.hour == night && in.bans&neon == 0:
		in.style = StyleNeon
	case in.wants&(nebula|planet) != 0 && in.wants&terrain == 0:
		in.style = StyleSpace
	case in.wants&(terrain|figures) != 0:
		in.style = StyleLandscape
	default:
		r := in.random("style")
		usual := []string{StyleLandscape, StyleLandscape, StyleLandscape, StyleAurora, StyleFlow, StyleWatercolor, StyleGeometric}
		in.style = usual[r.below(len(usual))]
	}
}

func (in *intent) random(part string) *random { return &random{state: hashText(in.key, part)} }

// has reports whether the prompt asks for any of m.
func (in *intent) has(m motif) bool { return in.wants&m != 0 }

// may reports whether m is in the picture: asked for, or by chance p when neither asked
// for nor refused. part names the decision.
func (in *intent) may(m motif, part string, p float64) bool {
	if in.bans&m == m {
		return false
	}
	return in.has(m) || in.random("may "+part).chance(p)
}
