package spool_test

import (
	"os"
	"strings"
	"testing"

	"llmhist/platform/spool"
)

func TestATextIsReadAsItWasWritten(t *testing.T) {
	for name, pieces := range map[string][]string{
		"none":                     {},
		"a few":                    {"one ", "", "two"},
		"many small ones":          strings.SplitAfter(strings.Repeat("0123456789abcdef ü,", 20_000), ","),
		"one larger than a buffer": {"before ", strings.Repeat("x", 100_000), " after"},
	} {
		dir := t.TempDir()
		text := spool.Text{Dir: dir}
		for _, piece := range pieces {
			if err := text.WriteString(piece); err != nil {
				t.Fatal(err)
			}
		}
		want := strings.Join(pieces, "")
		for range 2 { // reading changes nothing
			if got, err := text.Read(); got != want || err != nil || text.Len() != len(want) {
				t.Errorf("%s: %d bytes read, %d counted, want %d (%v)", name, len(got), text.Len(), len(want), err)
			}
		}
		if text.Long() != (len(want) > 32<<10) {
			t.Errorf("%s: long is %v", name, text.Long())
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: the file can be seen: %v", name, left)
		}
		if err := text.Close(); err != nil || text.Close() != nil || text.Len() != 0 {
			t.Errorf("%s: closed with %v", name, err)
		}
	}
}

func TestATextSaysThatTheDiskDoesNotTakeIt(t *testing.T) {
	text := spool.Text{Dir: t.TempDir() + "/absent"}
	if err := text.WriteString(strings.Repeat("x", 30_000)); err != nil {
		t.Fatal(err)
	}
	if err := text.WriteString(strings.Repeat("y", 30_000)); err == nil {
		t.Fatal("a directory that is not there took it")
	}
	if got, err := text.Read(); got != strings.Repeat("x", 30_000) || err != nil {
		t.Errorf("%d bytes left (%v)", len(got), err)
	}
}
