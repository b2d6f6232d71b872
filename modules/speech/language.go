package speech

import (
	"regexp"
	"strings"
	"sync"
)

// DefaultLanguage is spoken when a request names neither language nor voice.
const DefaultLanguage = "en"

// languageTag is the shape of the BCP 47 tags in use here: a language of two or
// three letters and up to three subtags.
var languageTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$`) })

// canonicalTag writes a tag with the case that RFC 5646 section 2.1.1
// recommends: zh-Hant-TW.
func canonicalTag(tag string) string {
	parts := strings.Split(strings.ToLower(tag), "-")
	for i, part := range parts[1:] {
		switch len(part) {
		case 2:
			parts[i+1] = strings.ToUpper(part)
		case 4:
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "-")
}

// currentCodes maps codes that were withdrawn but are still in use.
var currentCodes = map[string]string{"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro"}

// primary returns the language of a tag without its subtags, under its current
// code.
func primary(tag string) string {
	language, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if current, withdrawn := currentCodes[language]; withdrawn {
		return current
	}
	return language
}

// families names the language that a code is one form of, where voices and
// requests call it by either.
var families = map[string]string{"cmn": "zh", "yue": "zh", "hak": "zh", "nb": "no", "nn": "no", "fil": "tl"}

// sameLanguage reports whether two tags are of one language, whatever the
// region and the age of the code.
func sameLanguage(a, b string) bool { return family(a) == family(b) }

func family(tag string) string {
	language := primary(tag)
	if wider, known := families[language]; known {
		return wider
	}
	return language
}
