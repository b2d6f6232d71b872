package flite

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Bounds that keep Flite's time and memory linear in the text. Both grow with the square of a word's
// length, and with the sound of one utterance: 5,000 digits in one took 4 GB.
const (
	longestWord = 40
	// An utterance ends at the first mark of its kind after so much weight.
	endAtSentence = 200
	endAtClause   = 300
	endAtWord     = 400
	// symbolWeight is how much longer a digit or sign sounds than a letter, roughly.
	symbolWeight = 6
)

// paragraph is what makes Flite end an utterance.
const paragraph = "\n\n"

// spoken replaces signs that have an ASCII form or an English name.
var spoken = strings.NewReplacer(
	"‘", "'", "’", "'", "“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`,
	"–", " - ", "—", " - ", "…", "... ", "ß", "ss", "æ", "ae", "Æ", "Ae", "ø", "o", "Ø", "O", "œ", "oe", "Œ", "Oe",
	"ł", "l", "Ł", "L", "đ", "d", "Đ", "D", "ð", "th", "Ð", "Th", "þ", "th", "Þ", "Th", "ı", "i",
	"€", " euro ", "£", " pound ", "¥", " yen ", "°", " degrees ", "×", " times ", "÷", " divided by ",
	"½", " one half ", "¼", " one quarter ", "¾", " three quarters ", "±", " plus or minus ", "©", " copyright ", "™", "",
)

// prepareText turns any text into the printable ASCII that Flite reads: accents go, signs are
// named, what is left of other scripts becomes space. Paragraphs stay, and overlong sentences are
// cut into utterances. It reports whether there is anything to say.
func prepareText(text string) (string, bool) {
	var out strings.Builder
	weight := 0
	speakable := false
	for i, part := range paragraphs(toASCII(text)) {
		if i > 0 {
			out.WriteString(paragraph)
		}
		weight = 0
		for _, word := range strings.Fields(part) {
			for _, piece := range cutWord(word) {
				out.WriteString(piece)
				weight += weigh(piece) + 1
				speakable = speakable || weigh(piece) > 0
				if endsUtterance(piece, weight) {
					out.WriteString(paragraph)
					weight = 0
					continue
				}
				out.WriteByte(' ')
			}
		}
	}
	return out.String(), speakable
}

// toASCII keeps printable ASCII and newlines.
func toASCII(text string) string {
	text = norm.NFKD.String(spoken.Replace(text))
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r == '\n', r >= ' ' && r <= '~':
			return r
		}
		return ' '
	}, text)
}

// paragraphs splits at blank lines.
func paragraphs(text string) []string {
	var found []string
	for part := range strings.SplitSeq(text, paragraph) {
		if strings.TrimSpace(part) != "" {
			found = append(found, part)
		}
	}
	return found
}

// cutWord cuts what is too long to be a word.
func cutWord(word string) []string {
	var pieces []string
	for len(word) > longestWord {
		pieces = append(pieces, word[:longestWord])
		word = word[longestWord:]
	}
	return append(pieces, word)
}

// weigh estimates how long a word sounds, in letters. Punctuation is silent or close to it.
func weigh(word string) int {
	weight := 0
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			weight++
		case c >= '0' && c <= '9', strings.IndexByte("$%&@#*+=/<>^~_|\\{}", c) >= 0:
			weight += symbolWeight
		}
	}
	return weight
}

func endsUtterance(word string, weight int) bool {
	word = strings.TrimRight(word, `"')]`)
	switch {
	case weight >= endAtWord:
		return true
	case weight >= endAtClause && strings.HasSuffix(word, ","):
		return true
	case weight >= endAtClause && (strings.HasSuffix(word, ";") || strings.HasSuffix(word, ":")):
		return true
	}
	return weight >= endAtSentence && strings.LastIndexAny(word, ".?!") == len(word)-1 && word != ""
}
