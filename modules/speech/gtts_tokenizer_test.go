package speech

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestGTTSPiecesAreThoseOfTheOriginal(t *testing.T) {
	chinese := []string{"今天天气很好", "我们去公园散步吧", "你觉得怎么样？", "太好了！"}
	tests := map[string]struct {
		text string
		want []string
	}{
		"empty":                 {"", nil},
		"only space":            {"   ", nil},
		"only punctuation":      {"...", nil},
		"space after tone":      {"It is ready?Yes! It is.  ", []string{"It is ready? Yes!  It is."}},
		"two tones":             {"What?!No", []string{"What? ! No"}},
		"abbreviations":         {"best. Mr.Smith", []string{"best MrSmith"}},
		"hyphen at line end":    {"A hyphen-\nated line.", []string{"A hyphenated line."}},
		"hyphen and blank line": {"a-\n\nb", []string{"a\nb"}},
		"esquire in any case":   {"ESQ. and esq.", []string{"Esquire and Esquire"}},
		"hundred":               {strings.Repeat("a", 100), []string{strings.Repeat("a", 100)}},
		"hundred and one":       {strings.Repeat("a", 101), []string{strings.Repeat("a", 100), "a"}},
		"no spaces": {strings.Repeat("x", 250), []string{
			strings.Repeat("x", 100), strings.Repeat("x", 100), strings.Repeat("x", 50)}},
		"abbreviations, initials and numbers": {
			"Dr. Smith met Mr. Jones, Esq. at 10:30; it cost $1,234.56. The U.S.A. team won: great — truly… done.",
			[]string{"Dr Smith met Mr Jones", "Esquire at 10:30", "it cost $1,234.56", "The U.S.A. team won", "great", "truly", "done."}},
		"sentences": {
			"A short sentence that ends here. Another one follows, with a comma, and it goes on for quite a while so that it passes one hundred characters! Does it split? Yes.",
			[]string{"A short sentence that ends here", "Another one follows", "with a comma",
				"and it goes on for quite a while so that it passes one hundred characters!", "Does it split?", "Yes."}},
		"address": {
			"Visit https://example.com/path?x=1&y=2 now, because this text is long enough to pass the hundred character limit easily.",
			[]string{"Visit https", "//example.com/path?", "x=1&y=2 now",
				"because this text is long enough to pass the hundred character limit easily."}},
		"chinese": {strings.Repeat("今天天气很好，我们去公园散步吧。你觉得怎么样？太好了！", 5),
			slices.Concat(chinese, chinese, chinese, chinese, chinese)},
		"short chinese stays whole": {"今天天气很好，我们去公园散步吧。", []string{"今天天气很好，我们去公园散步吧。"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, gttsPieces(test.text)); diff != "" {
				t.Errorf("pieces (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGTTSPiecesCutAtTheLastSpaceThatFits(t *testing.T) {
	var lengths []int
	for _, piece := range gttsPieces(strings.Repeat("word ", 60)) {
		lengths = append(lengths, len(piece))
	}
	if diff := cmp.Diff([]int{99, 99, 99}, lengths); diff != "" {
		t.Errorf("lengths (-want +got):\n%s", diff)
	}
}

func FuzzGTTSPieces(f *testing.F) {
	for _, seed := range []string{"", "-\n", "?!", "a. b, c: d", "Esq.Esq.", strings.Repeat(" .a", 90), strings.Repeat("？", 80)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip()
		}
		for _, piece := range gttsPieces(text) {
			if n := utf8.RuneCountInString(piece); n == 0 || n > gttsPieceLimit {
				t.Fatalf("piece of %d characters: %q", n, piece)
			}
		}
	})
}
