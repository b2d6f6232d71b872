package flite

import (
	"strings"
	"testing"
)

func TestPrepareText(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"keeps plain text":               {"Hello, world.", "Hello, world. "},
		"folds white space":              {" a\tb\r\nc  d ", "a b c d "},
		"keeps paragraphs":               {"One.\n\n\nTwo.", "One. \n\nTwo. "},
		"drops accents":                  {"Café naïve Å", "Cafe naive A "},
		"folds quotes and dashes":        {"“It’s” — so", `"It's" - so `},
		"names signs":                    {"5 € ½", "5 euro one half "},
		"widens compatible forms":        {"ｆｕｌｌ ﬁne", "full fine "},
		"drops other scripts and emoji":  {"a 你好 😀 b", "a b "},
		"drops control characters":       {"a\x00b\x1b[0m\xff", "a b [0m "},
		"cuts a word nobody could speak": {strings.Repeat("a", 90), strings.Repeat("a", 40) + " " + strings.Repeat("a", 40) + " " + strings.Repeat("a", 10) + " "},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := prepareText(c.in); got != c.want || !ok {
				t.Errorf("got %q, %v, want %q", got, ok, c.want)
			}
		})
	}
}

func TestPrepareTextEndsUtterancesAtTheBestPlace(t *testing.T) {
	for name, c := range map[string]struct{ unit, end string }{
		"after a sentence": {"some words come here and then they end. ", "end."},
		"after a clause":   {"some words come here, ", "here,"},
		"after any word":   {"words and ", "s"},
		"between digits":   {"0123456789", "9"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := prepareText(strings.Repeat(c.unit, 100))
			first, _, found := strings.Cut(got, paragraph)
			if !found || !strings.HasSuffix(first, c.end) && name != "after any word" {
				t.Errorf("first utterance: %q", first)
			}
			if w := weigh(first); w > endAtWord+longestWord*symbolWeight {
				t.Errorf("weighs %d", w)
			}
		})
	}
}

func FuzzPrepareText(f *testing.F) {
	f.Add("Hello — “world”.\n\nÀ bientôt 😀")
	f.Add(strings.Repeat("9", 500))
	f.Add("\xff\x00½ a,b;c:d?!")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := prepareText(text)
		if ok != (strings.TrimLeft(got, " \n!\"'(),-.:;?[]`") != "") {
			t.Errorf("%q: speakable %v", got, ok)
		}
		for _, utterance := range strings.Split(got, paragraph) {
			if w := weigh(utterance); w > endAtWord+longestWord*symbolWeight {
				t.Errorf("an utterance weighs %d", w)
			}
		}
		for _, r := range got {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("%q holds %q", got, r)
			}
		}
		for word := range strings.FieldsSeq(got) {
			if len(word) > longestWord {
				t.Errorf("word of %d characters", len(word))
			}
		}
	})
}
