package chat

import (
	"strings"
	"unicode"
)

// contentWords returns the words of text that carry meaning, as stems. A name
// such as OPENAI_BASE_URL counts whole and in its parts.
func contentWords(text string) []string {
	var words []string
	add := func(word string) {
		if !stopWords[word] && len(word) > 1 { // single letters and digits say nothing
			words = append(words, stem(word))
		}
	}
	apart := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }
	tokens := strings.FieldsFunc(strings.ToLower(text), apart)
	for i, token := range tokens {
		if i+1 < len(tokens) {
			if joined, ok := twoWords[token+" "+tokens[i+1]]; ok {
				token = joined // what is left of the second word is a stop word
			}
		}
		parts := strings.FieldsFunc(token, func(r rune) bool { return r == '_' })
		if len(parts) > 1 {
			words = append(words, token)
		}
		for _, part := range parts {
			if same, ok := sameWord[part]; ok {
				part = same
			}
			add(part)
		}
	}
	return words
}

// twoWords joins what is written as one word and as two.
var twoWords = map[string]string{
	"log in": "login", "logging in": "login", "sign in": "login", "signing in": "login",
	"sign up": "register", "log out": "logout", "sign out": "logout",
}

// stem takes the common endings of English off a lower-case word, so that
// "configuring" and "configuration" meet. It is light: words stay recognisable
// and short ones are left alone.
func stem(word string) string {
	if len(word) <= 3 || !isASCII(word) {
		return word
	}
	switch {
	case strings.HasSuffix(word, "ies") && len(word) > 4:
		word = word[:len(word)-3] + "y"
	case strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") && !strings.HasSuffix(word, "us") && !strings.HasSuffix(word, "is"):
		word = word[:len(word)-1]
	}
	for _, ending := range []string{"ation", "ing", "ion", "ed", "er", "ly"} {
		if rest, cut := strings.CutSuffix(word, ending); cut && len(rest) >= 4 {
			word = undouble(rest)
			break
		}
	}
	for _, ending := range []string{"e", "at"} {
		if rest, cut := strings.CutSuffix(word, ending); cut && len(rest) >= 4 {
			word = rest
		}
	}
	return word
}

// undouble takes one of two equal consonants from the end: "runn" is "run".
func undouble(word string) string {
	last := len(word) - 1
	if word[last] == word[last-1] && !strings.ContainsRune("aeiouls", rune(word[last])) {
		return word[:last]
	}
	return word
}

func isASCII(word string) bool {
	for i := range len(word) {
		if word[i] >= 0x80 {
			return false
		}
	}
	return true
}

// sameWord spells words one way.
var sameWord = map[string]string{
	"postgres": "postgresql", "pg": "postgresql", "psql": "postgresql", "mongo": "mongodb", "db": "database", "databases": "database",
	"picture": "image", "pictures": "image", "photo": "image", "tts": "speech", "config": "configuration", "env": "environment",
	"auth": "authentication", "signin": "login", "signup": "register", "docs": "documentation", "backups": "backup", "tls": "https", "ssl": "https",
}

// relatedWords are looked for besides the word that was asked for, at half its
// weight. Keys and values are content words before stemming.
var relatedWords = map[string][]string{
	"gpt": {"openai", "model"}, "chatgpt": {"openai", "model"}, "llm": {"model", "provider"}, "ollama": {"openai", "provider"},
	"azure": {"openai", "provider"}, "ai": {"model", "provider"}, "model": {"provider"}, "voice": {"speech"}, "speak": {"speech"}, "audio": {"speech"},
	"draw": {"image"}, "setup": {"install", "start"}, "install": {"start", "run"}, "start": {"run"}, "begin": {"start"}, "deploy": {"run", "docker"},
	"price": {"cost"}, "spend": {"cost"}, "statistics": {"analytics"}, "stats": {"analytics"}, "usage": {"analytics"}, "storage": {"data"}, "stored": {"data"},
	"administrator": {"admin"}, "account": {"user", "register"}, "password": {"login"}, "token": {"login"}, "error": {"problem"}, "quota": {"limit"},
	"add": {"connect", "configuration"}, "connect": {"configuration"}, "configure": {"connect"}, "enable": {"configuration"},
	"throttle": {"limit"}, "restore": {"backup"}, "upgrade": {"migrate"}, "update": {"migrate"}, "redis": {"limit"}, "docker": {"container"},
}

// vagueWords say what is to be done rather than with what: they count less, so
// that "add a provider" is about providers. They are content words before
// stemming.
var vagueWords = wordSet(strings.Fields("add change set create configure connect enable see find run start write print show open support become talk happen")...)

// vagueStems is vagueWords as contentWords spells them.
var vagueStems = func() map[string]bool {
	stems := make(map[string]bool, len(vagueWords))
	for word := range vagueWords {
		stems[stem(word)] = true
	}
	return stems
}()

// relatedStems is relatedWords as contentWords spells them.
var relatedStems = func() map[string][]string {
	stems := make(map[string][]string, len(relatedWords))
	for word, others := range relatedWords {
		for _, other := range others {
			stems[stem(word)] = append(stems[stem(word)], stem(other))
		}
	}
	return stems
}()

var stopWords = wordSet(strings.Fields(`a an the and or not no but if then than so as at by for from in into of off on onto out over to up with without
	is are was were be been being am do does did doing have has had can could may might must shall should will would
	i you he she it we they me my mine myself your yours our us them their its this that these those there here
	what which who whom whose when where why how please tell show explain give let want need like get got make makes made about any some all
	just also very really too much many more most thing things way use using used work works llmhist`)...)
