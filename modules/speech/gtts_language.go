package speech

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// gttsLanguages are the codes that the service knows. Their case matters to it.
var gttsLanguages = strings.Fields(`af am ar bg bn bs ca cs cy da de el en es et eu fi fr fr-CA gl gu ha hi hr hu
	id is it iw ja jw km kn ko la lt lv ml mr ms my ne nl no pa pl pt pt-PT ro ru si sk sq sr su sv sw ta te th tl
	tr uk ur vi yue zh zh-CN zh-TW`)

// gttsDeprecated maps codes the service no longer takes, in lower case, to
// those it does.
var gttsDeprecated = map[string]string{
	"en-us": "en", "en-ca": "en", "en-uk": "en", "en-gb": "en", "en-au": "en", "en-gh": "en", "en-in": "en",
	"en-ie": "en", "en-nz": "en", "en-ng": "en", "en-ph": "en", "en-za": "en", "en-tz": "en",
	"fr-fr": "fr", "es-es": "es", "es-us": "es", "pt-br": "pt", "pt-pt": "pt", "zh-cn": "zh-CN", "zh-tw": "zh-TW",
	// today's codes of languages that the service calls by their old ones
	"he": "iw", "jv": "jw", "fil": "tl",
}

// gttsLanguage returns how the service calls a language. An exact code comes
// before a deprecated one: pt-PT is itself, pt-pt is pt.
func gttsLanguage(tag string) (string, bool) {
	if slices.Contains(gttsLanguages, tag) {
		return tag, true
	}
	if current, deprecated := gttsDeprecated[strings.ToLower(tag)]; deprecated {
		return current, true
	}
	canonical := canonicalTag(tag)
	return canonical, slices.Contains(gttsLanguages, canonical)
}

// gttsAccents are the voices of the service: the top-level domain that is asked
// decides how a language sounds.
var gttsAccents = []voice{
	{id: "com", name: "English (United States)", language: "en-US"},
	{id: "co.uk", name: "English (United Kingdom)", language: "en-GB"},
	{id: "com.au", name: "English (Australia)", language: "en-AU"},
	{id: "co.in", name: "English (India)", language: "en-IN"},
	{id: "ca", name: "English (Canada)", language: "en-CA"},
	{id: "ie", name: "English (Ireland)", language: "en-IE"},
	{id: "co.za", name: "English (South Africa)", language: "en-ZA"},
	{id: "com.ng", name: "English (Nigeria)", language: "en-NG"},
	{id: "ca", name: "French (Canada)", language: "fr-CA"},
	{id: "fr", name: "French (France)", language: "fr-FR"},
	{id: "com", name: "Spanish (United States)", language: "es-US"},
	{id: "es", name: "Spanish (Spain)", language: "es-ES"},
	{id: "com.mx", name: "Spanish (Mexico)", language: "es-MX"},
	{id: "pt", name: "Portuguese (Portugal)", language: "pt-PT"},
	{id: "com.br", name: "Portuguese (Brazil)", language: "pt-BR"},
}

// gttsAccent returns the accent that a tag with a region asks for, "" for none.
func gttsAccent(tag string) string {
	tag = canonicalTag(tag)
	if tag == "en-UK" {
		tag = "en-GB"
	}
	for _, accent := range gttsAccents {
		if accent.language == tag {
			return accent.id
		}
	}
	return ""
}

// topLevelDomain is the shape of what may become part of a host name.
var topLevelDomain = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z]{2,3}(\.[a-z]{2})?$`) })
