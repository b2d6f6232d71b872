package speech

import (
	"strings"
	"unicode"
)

// gttsPieceLimit is the most characters one request of the gTTS protocol holds.
const gttsPieceLimit = 100

const (
	toneMarks  = "?!？！"
	otherMarks = "¡()[]¿…‥،;—。，、：\n"
	allMarks   = toneMarks + ".,:" + otherMarks
)

// abbreviations lose their full stop, wherever they end a run of letters.
var abbreviations = []string{"dr", "jr", "mr", "mrs", "ms", "msgr", "prof", "sr", "st"}

// gttsPieces cuts a text into the pieces that the gTTS package (2.5) sends one
// by one. It follows that package's behaviour mark by mark, oddities included,
// so that both make the same sound of the same text. A text of nothing but
// punctuation has no pieces.
func gttsPieces(text string) []string {
	prepared := prepareForPieces([]rune(strings.TrimSpace(text)))
	if len(prepared) <= gttsPieceLimit {
		return speakable(nil, prepared)
	}
	var sentences []string
	for _, part := range splitAtMarks(prepared) {
		sentences = speakable(sentences, part)
	}
	var pieces []string
	for _, sentence := range sentences {
		pieces = appendCut(pieces, []rune(sentence))
	}
	return pieces
}

// prepareForPieces rewrites what would be read wrongly or split wrongly.
func prepareForPieces(text []rune) []rune {
	spaced := make([]rune, 0, len(text)+8)
	for i, r := range text {
		spaced = append(spaced, r)
		if strings.ContainsRune(toneMarks, r) {
			spaced = append(spaced, ' ')
		}
		if n := len(spaced); r == '\n' && i > 0 && text[i-1] == '-' {
			spaced = spaced[:n-2] // a word hyphenated over two lines
		}
	}
	out := make([]rune, 0, len(spaced))
	for i, r := range spaced {
		if r == '.' && afterAbbreviation(spaced[:i]) {
			continue
		}
		out = append(out, r)
	}
	return replaceEsquire(out)
}

// afterAbbreviation reports whether text ends in an abbreviation, in any case.
// There is no check for a word boundary, as in the original.
func afterAbbreviation(text []rune) bool {
	for _, short := range abbreviations {
		if n := len(short); len(text) >= n && strings.EqualFold(string(text[len(text)-n:]), short) {
			return true
		}
	}
	return false
}

func replaceEsquire(text []rune) []rune {
	const short = "Esq."
	out := make([]rune, 0, len(text)+8)
	for i := 0; i < len(text); i++ {
		if end := i + len(short); end <= len(text) && strings.EqualFold(string(text[i:end]), short) {
			out = append(out, []rune("Esquire")...)
			i = end - 1
			continue
		}
		out = append(out, text[i])
	}
	return out
}

// splitAtMarks cuts text at sentence and clause marks and drops what marked
// the cut.
func splitAtMarks(text []rune) [][]rune {
	var parts [][]rune
	start := 0
	for i := 0; i < len(text); {
		width := markWidth(text, i)
		if width == 0 {
			i++
			continue
		}
		parts = append(parts, text[start:i])
		i += width
		start = i
	}
	return append(parts, text[start:])
}

// markWidth returns how many characters at i separate two parts; 0 for none.
func markWidth(text []rune, i int) int {
	r := text[i]
	switch {
	case i > 0 && strings.ContainsRune(toneMarks, text[i-1]) && r != '\n':
		return 1
	case (r == '.' || r == ',') && i+1 < len(text) && text[i+1] == ' ' && !afterInitial(text[:i]):
		return 2
	case r == ':' && (i == 0 || !unicode.IsDigit(text[i-1])):
		return 1
	case strings.ContainsRune(otherMarks, r):
		return 1
	}
	return 0
}

// afterInitial reports whether text ends like an acronym with full stops.
func afterInitial(text []rune) bool {
	n := len(text)
	if n < 2 || text[n-2] != '.' {
		return false
	}
	letter := text[n-1] | 0x20
	return letter >= 'a' && letter <= 'z'
}

// speakable appends the trimmed part unless it is only punctuation and space.
func speakable(to []string, part []rune) []string {
	for _, r := range part {
		if !unicode.IsSpace(r) && !strings.ContainsRune(allMarks, r) {
			return append(to, strings.TrimSpace(string(part)))
		}
	}
	return to
}

// appendCut appends text in pieces of at most gttsPieceLimit characters, cut at
// the last space that fits.
func appendCut(pieces []string, text []rune) []string {
	for len(text) > 0 {
		if text[0] == ' ' {
			text = text[1:]
		}
		if len(text) <= gttsPieceLimit {
			break
		}
		cut := gttsPieceLimit
		for i := gttsPieceLimit - 1; i >= 0; i-- {
			if text[i] == ' ' {
				cut = i
				break
			}
		}
		if cut > 0 {
			pieces = append(pieces, string(text[:cut]))
		}
		text = text[cut:]
	}
	if len(text) > 0 {
		pieces = append(pieces, string(text))
	}
	return pieces
}
