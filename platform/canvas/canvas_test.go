package canvas

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustRender(t testing.TB, p Params) *image.NRGBA {
	t.Helper()
	m, err := Render(t.Context(), p)
	if err != nil {
		t.Fatalf("Render(%+v): %v", p, err)
	}
	return m
}

func digest(m *image.NRGBA) string {
	sum := sha256.Sum256(m.Pix)
	return hex.EncodeToString(sum[:8])
}

// apart is the mean difference of two pictures' channels, 0..255.
func apart(a, b *image.NRGBA) float64 {
	sum := 0
	for i := range a.Pix {
		d := int(a.Pix[i]) - int(b.Pix[i])
		sum += max(d, -d)
	}
	return float64(sum) / float64(len(a.Pix)*3/4)
}

// golden holds the pixels of Version 1. A change here is a change of Version.
var golden = []struct {
	params Params
	want   string
}{
	{Params{Prompt: "cyberpunk cat with neon lights", NegativePrompt: "fog", Style: "auto", Seed: 0, Width: 200, Height: 150}, "e8a15bd5d3c53510"},
	{Params{Prompt: "a mountain lake at sunset with pine forest", NegativePrompt: "fog", Style: "landscape", Seed: 1, Width: 200, Height: 150}, "8a97f2c4ca897d39"},
	{Params{Prompt: "northern lights over snowy mountains", NegativePrompt: "fog", Style: "aurora", Seed: 2, Width: 200, Height: 150}, "c8d640c5b7e7eb67"},
	{Params{Prompt: "tokyo at night in the rain", NegativePrompt: "fog", Style: "neon", Seed: 3, Width: 200, Height: 150}, "a010bdf7d935a394"},
	{Params{Prompt: "planet and galaxy in violet", NegativePrompt: "fog", Style: "space", Seed: 4, Width: 200, Height: 150}, "f736c3b9b95dcc0e"},
	{Params{Prompt: "castle by the sea, birds", NegativePrompt: "fog", Style: "watercolor", Seed: 5, Width: 200, Height: 150}, "ec67feb0ae211df7"},
	{Params{Prompt: "blue and gold silk", NegativePrompt: "fog", Style: "flow", Seed: 6, Width: 200, Height: 150}, "b040ad9656107bbd"},
	{Params{Prompt: "sun over mountains", NegativePrompt: "fog", Style: "geometric", Seed: 7, Width: 200, Height: 150}, "ab67b3c75c22b006"},
	{Params{Prompt: "desert with cactus", NegativePrompt: "fog", Style: "pixel", Seed: 8, Width: 200, Height: 150}, "c8b044940f4a72d6"},
}

func TestPixelsAreTheSameOnEveryPlatform(t *testing.T) {
	for _, g := range golden {
		if got := digest(mustRender(t, g.params)); got != g.want {
			t.Errorf("%+v: pixels %s, want %s", g.params, got, g.want)
		}
	}
}

func TestRenderingTwiceGivesTheSamePixels(t *testing.T) {
	for _, style := range Styles() {
		p := Params{Prompt: "castle and cat by the sea in the rain, flowers, balloons", Style: style, Seed: 5, Width: 150, Height: 130}
		a, b := mustRender(t, p), mustRender(t, p)
		if !bytes.Equal(a.Pix, b.Pix) {
			t.Errorf("style %s: two renderings differ", style)
		}
	}
}

func TestEveryPartOfTheParamsMatters(t *testing.T) {
	base := Params{Prompt: "mountain lake", Style: StyleLandscape, Seed: 1, Width: 160, Height: 160}
	first := mustRender(t, base)
	for name, change := range map[string]func(*Params){
		"another known word":   func(p *Params) { p.Prompt = "mountain lake at night" },
		"another unknown word": func(p *Params) { p.Prompt = "mountain lake zxqv" },
		"another order":        func(p *Params) { p.Prompt = "lake mountain" },
		"another seed":         func(p *Params) { p.Seed = 2 },
		"a negative seed":      func(p *Params) { p.Seed = -1 },
		"another style":        func(p *Params) { p.Style = StyleWatercolor },
		"a negative prompt":    func(p *Params) { p.NegativePrompt = "mountains" },
	} {
		t.Run(name+" changes the picture", func(t *testing.T) {
			p := base
			change(&p)
			if d := apart(first, mustRender(t, p)); d < 2 {
				t.Errorf("mean difference %.2f, want at least 2", d)
			}
		})
	}
}

func TestCaseAndPunctuationDoNotMatter(t *testing.T) {
	a := mustRender(t, Params{Prompt: "Red, MOON!", Width: 96, Height: 96})
	b := mustRender(t, Params{Prompt: "red moon", Width: 96, Height: 96})
	if !bytes.Equal(a.Pix, b.Pix) {
		t.Error("the same words gave another picture")
	}
}

func TestBadParamsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		params Params
		want   error
	}{
		"too narrow":    {Params{Width: 15, Height: 64}, ErrSize},
		"too tall":      {Params{Width: 64, Height: 2049}, ErrSize},
		"zero":          {Params{}, ErrSize},
		"negative":      {Params{Width: -512, Height: 512}, ErrSize},
		"unknown style": {Params{Width: 64, Height: 64, Style: "oil"}, ErrStyle},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Render(t.Context(), c.params)
			if !errors.Is(err, c.want) || m != nil {
				t.Errorf("got picture %v and error %v, want %v", m != nil, err, c.want)
			}
		})
	}
}

func TestEverySizeIsFilledWithOpaquePixels(t *testing.T) {
	sizes := [][2]int{{16, 16}, {17, 300}, {300, 17}, {64, 64}, {127, 95}, {128, 48}, {333, 211}}
	if !testing.Short() {
		sizes = append(sizes, [2]int{2048, 2048}, [2]int{2048, 16}, [2]int{16, 2048})
	}
	for _, size := range sizes {
		for _, style := range Styles() {
			m := mustRender(t, Params{Prompt: "neon cat, sea, boat, rain", Style: style, Width: size[0], Height: size[1]})
			if m.Rect != image.Rect(0, 0, size[0], size[1]) {
				t.Fatalf("%v %s: bounds %v", size, style, m.Rect)
			}
			for i := 3; i < len(m.Pix); i += 4 {
				if m.Pix[i] != 255 {
					t.Fatalf("%v %s: pixel %d is not opaque", size, style, i/4)
				}
			}
		}
	}
}

func TestCancelledContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, style := range Styles() {
		m, err := Render(ctx, Params{Prompt: "cat", Style: style, Width: 2048, Height: 2048})
		if !errors.Is(err, context.Canceled) || m != nil {
			t.Errorf("style %s: got picture %v and error %v", style, m != nil, err)
		}
	}
}

// stopAfter is a context that ends at its nth look.
type stopAfter struct {
	context.Context
	left int
}

func (c *stopAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestContextIsAskedOftenEnough(t *testing.T) {
	for _, style := range Styles() {
		t.Run(style, func(t *testing.T) {
			look := &stopAfter{Context: t.Context(), left: 90}
			start := time.Now()
			_, err := Render(look, Params{Prompt: "neon cat", Style: style, Width: 2048, Height: 2048})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
			if look.left < -60 { // each part of a scene may look once more
				t.Errorf("asked %d more times after the context had ended", -look.left-1)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("90 looks took %v", took)
			}
		})
	}
}

func TestStylesAreAllPaintable(t *testing.T) {
	for _, style := range Styles() {
		if style != StyleAuto && style != StylePixel && painters[style] == nil {
			t.Errorf("style %s has no painter", style)
		}
	}
	for word, style := range styleWords {
		if !slices.Contains(Styles(), style) {
			t.Errorf("word %s names the unknown style %s", word, style)
		}
	}
}

func TestPNGStaysSmall(t *testing.T) {
	fast := png.Encoder{CompressionLevel: png.BestSpeed}
	for _, prompt := range []string{"cyberpunk cat with neon lights", "abstract silk in blue and gold", "watercolor mountains", "space", "rain over the city"} {
		var b bytes.Buffer
		if err := fast.Encode(&b, mustRender(t, Params{Prompt: prompt, Width: 512, Height: 512})); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 400<<10 {
			t.Errorf("%q: %d KB", prompt, b.Len()>>10)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("cat without moon", "red night", uint8(0), int64(1), uint16(64), uint16(64))
	f.Add("aurora \xff\xfe 猫 ünïcode", "", uint8(2), int64(-9), uint16(16), uint16(200))
	f.Add(strings.Repeat("no ", 50), "black white gray red green blue", uint8(8), int64(1)<<62, uint16(131), uint16(17))
	f.Fuzz(func(t *testing.T, prompt, negative string, style uint8, seed int64, w, h uint16) {
		p := Params{Prompt: prompt, NegativePrompt: negative, Seed: seed, Width: MinSide + int(w%240), Height: MinSide + int(h%240)}
		p.Style = Styles()[int(style)%len(Styles())]
		m := mustRender(t, p)
		if m.Rect.Dx() != p.Width || m.Rect.Dy() != p.Height {
			t.Fatalf("bounds %v", m.Rect)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	for _, side := range []int{512, 1024, 2048} {
		for _, style := range Styles()[1:] {
			b.Run(fmt.Sprintf("%s/%d", style, side), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					mustRender(b, Params{Prompt: "cat by the mountain lake, rain, clouds, stars", Style: style, Width: side, Height: side})
				}
			})
		}
	}
}
