package image

import (
	"errors"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"512x512": {512, 512}, "64x2048": {64, 2048}, "2048x2048": {2048, 2048}, "1000x65": {1000, 65},
	} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]error{
		"": errSizeForm, "512": errSizeForm, "x": errSizeForm, "512x": errSizeForm, "x512": errSizeForm, "512X512": errSizeForm,
		"512x512x512": errSizeForm, " 512x512": errSizeForm, "512x512 ": errSizeForm, "512 x 512": errSizeForm, "+512x512": errSizeForm,
		"-512x512": errSizeForm, "0512x512": errSizeForm, "512x00512": errSizeForm, "5e2x512": errSizeForm, "512×512": errSizeForm,
		"٥١٢x٥١٢": errSizeForm, "512x512\n": errSizeForm, "99999xa": errSizeForm,
		"0x512": errSizeRange, "63x64": errSizeRange, "64x63": errSizeRange, "2049x64": errSizeRange, "99999x1": errSizeRange,
		"18446744073709551680x64": errSizeRange, "64x340282366920938463463374607431768211520": errSizeRange,
	} {
		if got, err := ParseSize(text); !errors.Is(err, want) || got != (Size{}) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"512x512", "99999x1", "0x0", "x", "064x64", "64x64x", "18446744073709551680x64"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			if size != (Size{}) {
				t.Errorf("%q: %v with %v", text, size, err)
			}
			return
		}
		if size.String() != text {
			t.Errorf("%q reads as %v: two spellings of one size", text, size)
		}
		if min(size.Width, size.Height) < minSide || max(size.Width, size.Height) > maxSide {
			t.Errorf("%q is out of range", text)
		}
	})
}
