package canvas

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPromptWordsChooseMotifsAndStyle(t *testing.T) {
	for name, c := range map[string]struct {
		prompt, negative string
		wants            motif
		style            string
		hour             hour
	}{
		"the first example":           {"cyberpunk cat with neon lights", "", neon | city | cat, StyleNeon, anyHour},
		"plurals are words too":       {"Mountains, RIVERS", "", mountain | lake, StyleLandscape, anyHour},
		"the hour is read":            {"sea at night", "", sea, StyleLandscape, night},
		"a city at night is neon":     {"city at night", "", city, StyleNeon, night},
		"a style is named":            {"watercolor of a boat", "", boat | sea, StyleWatercolor, anyHour},
		"no removes the next word":    {"mountains, no clouds, sun", "", mountain | sun, StyleLandscape, anyHour},
		"without removes as well":     {"forest without snow", "", forest, StyleLandscape, anyHour},
		"a negative prompt removes":   {"cat and moon over the sea", "moon, cats", sea, StyleLandscape, night},
		"a ban on night means day":    {"hill", "night", hill, StyleLandscape, day},
		"a ban removes a style":       {"neon mountain", "neon", mountain, StyleLandscape, anyHour},
		"palm trees are only palms":   {"palm trees", "", palm, StyleLandscape, anyHour},
		"northern lights are aurora":  {"northern lights", "", northernLights, StyleAurora, anyHour},
		"snowy ground is not snowing": {"snowy hill", "", frost | hill, StyleLandscape, anyHour},
	} {
		t.Run(name, func(t *testing.T) {
			in := readIntent(Params{Prompt: c.prompt, NegativePrompt: c.negative})
			if in.wants != c.wants {
				t.Errorf("wants %b, want %b", in.wants, c.wants)
			}
			if in.style != c.style || in.hour != c.hour {
				t.Errorf("style %s, hour %d; want %s, %d", in.style, in.hour, c.style, c.hour)
			}
		})
	}
}

func TestPromptColoursAreBounded(t *testing.T) {
	in := readIntent(Params{Prompt: "red green blue white black", NegativePrompt: "red red red red red red red red red red"})
	want := []lch{colourWords["red"], colourWords["green"], colourWords["blue"]}
	if diff := cmp.Diff(want, in.colours, cmp.AllowUnexported(lch{})); diff != "" {
		t.Errorf("colours (-want +got):\n%s", diff)
	}
	if len(in.banned) != maxBanned {
		t.Errorf("%d banned colours kept, want %d", len(in.banned), maxBanned)
	}
}

func TestBannedColoursAreNotInThePalette(t *testing.T) {
	for seed := range int64(40) {
		in := readIntent(Params{Prompt: "sunset over blue mountains", NegativePrompt: "red, orange, purple", Seed: seed})
		p := newPalette(in)
		all := append(append([]lch{p.light, p.far, p.near}, p.sky[:]...), p.accent[:]...)
		for _, k := range all {
			for _, word := range []string{"red", "orange", "purple"} {
				if k.c > 0.015 && hueDistance(k.h, colourWords[word].h) < 36 {
					t.Fatalf("seed %d: %+v is %s", seed, k, word)
				}
			}
		}
	}
}

func TestColourWordsColourThePicture(t *testing.T) {
	red := mustRender(t, Params{Prompt: "red landscape", Width: 96, Height: 96})
	blue := mustRender(t, Params{Prompt: "blue landscape", Width: 96, Height: 96})
	if r, b := warmth(red.Pix), warmth(blue.Pix); r < 20 || b > -20 {
		t.Errorf("red minus blue is %d in the red picture and %d in the blue one", r, b)
	}
}

func TestEveryMotifLeavesAMarkAndCanBeRefused(t *testing.T) {
	words := map[string]string{ // motif word to the rest of a prompt in which it shows
		"moon": "night", "stars": "night", "clouds": "hill", "mountains": "landscape", "forest": "hill", "tree": "hill",
		"lake": "mountain", "desert": "day", "rain": "hill", "snow": "hill", "fog": "forest", "cat": "hill", "birds": "hill",
		"house": "hill", "castle": "hill", "balloon": "day", "flower": "hill", "rocket": "hill", "rainbow": "day",
		"lighthouse": "dusk", "palm": "hill", "cactus": "dusk", "boat": "dusk", "city": "day", "sun": "hill",
	}
	for word, rest := range words {
		p := Params{Prompt: rest + " " + word, Style: StyleLandscape, Seed: 2, Width: 96, Height: 96}
		with := mustRender(t, p)
		p.NegativePrompt = word
		if apart(with, mustRender(t, p)) < 0.02 {
			t.Errorf("%q: refusing %s changed nothing", p.Prompt, word)
		}
	}
}

func TestPixelStyleIsMadeOfFewLargePixels(t *testing.T) {
	m := mustRender(t, Params{Prompt: "pixel castle", Width: 336, Height: 340})
	seen := map[[3]uint8]bool{}
	for y := range 300 { // above the caption
		for x := range 336 {
			i, j := m.PixOffset(x, y), m.PixOffset(x/3*3, y/3*3)
			if string(m.Pix[i:i+3]) != string(m.Pix[j:j+3]) {
				t.Fatalf("pixel %d,%d differs within its block", x, y)
			}
			seen[[3]uint8(m.Pix[i:i+3])] = true
		}
	}
	if len(seen) > inks || len(seen) < 8 {
		t.Errorf("%d colours, want 8 to %d", len(seen), inks)
	}
}

func TestNegativePromptTakesAColourOut(t *testing.T) {
	with := mustRender(t, Params{Prompt: "abstract", Style: StyleLandscape, Seed: 3, Width: 96, Height: 96})
	without := mustRender(t, Params{Prompt: "abstract", NegativePrompt: "black, white, gray", Style: StyleLandscape, Seed: 3, Width: 96, Height: 96})
	if apart(with, without) < 1 {
		t.Error("banning black, white and gray changed nothing")
	}
}

func TestNegativePromptLeavesTheRestInPlace(t *testing.T) {
	p := Params{Prompt: "mountain lake with a boat", Style: StyleLandscape, Seed: 4, Width: 128, Height: 128}
	with := mustRender(t, p)
	p.NegativePrompt = "boat"
	without := mustRender(t, p)
	sky := 40 * with.Stride
	if string(with.Pix[:sky]) != string(without.Pix[:sky]) {
		t.Error("the sky changed when only the boat was refused")
	}
	if string(with.Pix) == string(without.Pix) {
		t.Error("the boat is still there")
	}
}

// warmth is mean red minus mean blue.
func warmth(pix []uint8) int {
	sum := 0
	for i := 0; i < len(pix); i += 4 {
		sum += int(pix[i]) - int(pix[i+2])
	}
	return sum / (len(pix) / 4)
}
