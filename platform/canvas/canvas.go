// Package canvas draws pictures by procedure: gradients, noise, ridges, skylines and
// silhouettes laid over each other. It is not a machine-learning model and understands
// no language; it looks for words it knows (see Render) and lets all others pick the
// palette and the composition through a hash. Each picture says so in a small caption.
//
// The same Params give the same pixels on every platform: the noise is built on integers,
// every floating-point product is rounded before it is used (so that no compiler fuses it
// into an addition), and of package math only exactly rounded functions are called.
package canvas

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
)

// Limits of a picture's sides in pixels, both inclusive.
const (
	MinSide = 16
	MaxSide = 2048
)

// Version changes whenever the same Params would give other pixels than before.
const Version = 1

// ErrSize reports a width or height outside MinSide..MaxSide.
var ErrSize = errors.New("canvas: size out of range")

// ErrStyle reports a style that Styles does not list.
var ErrStyle = errors.New("canvas: unknown style")

// Params describe one picture.
type Params struct {
	Prompt         string // what to draw; may be empty
	NegativePrompt string // motifs and colours to leave out; may be empty
	Style          string // one of Styles; empty means "auto"
	Seed           int64  // another seed gives another variation of the same prompt
	Width, Height  int    // pixels
}

// Names of the styles, as Params.Style takes them.
const (
	StyleAuto       = "auto"       // chosen by the words of the prompt, otherwise by its hash
	StyleLandscape  = "landscape"  // sky, ridges, water and what the prompt puts into them
	StyleAurora     = "aurora"     // a night landscape under northern lights
	StyleNeon       = "neon"       // a night city with lit windows, signs and a wet street
	StyleSpace      = "space"      // nebula, stars and planets
	StyleWatercolor = "watercolor" // a landscape in transparent washes on paper
	StyleFlow       = "flow"       // folded, marbled bands of colour
	StyleGeometric  = "geometric"  // flat tiles of circles, arcs, triangles and stripes
	StylePixel      = "pixel"      // one of the scenes in coarse pixels and few colours
)

// painters maps a style to the function that lays out its layers.
var painters = map[string]func(*scene){
	StyleLandscape:  paintLandscape,
	StyleAurora:     paintAurora,
	StyleNeon:       paintNeon,
	StyleSpace:      paintSpace,
	StyleWatercolor: paintWatercolor,
	StyleFlow:       paintFlow,
	StyleGeometric:  paintGeometric,
}

// Styles lists the accepted styles, "auto" first. The caller owns the slice.
func Styles() []string {
	return []string{
		StyleAuto, StyleLandscape, StyleAurora, StyleNeon, StyleSpace,
		StyleWatercolor, StyleFlow, StyleGeometric, StylePixel,
	}
}

// Render draws the picture that p describes. All its pixels are opaque.
//
// English words for colours choose the palette; words for things (sea, mountain, forest,
// night, sun, moon, stars, city, rain, snow, cat, …), for the time of day and for kinds of
// pictures choose what is drawn; "no" or "without" before such a word, or its mention in
// the negative prompt, removes it. All other words only change the variation.
//
// It fails with ErrSize, ErrStyle, or the context's error; a cancelled context is noticed
// within a few milliseconds. Render keeps no state and may be called concurrently.
func Render(ctx context.Context, p Params) (*image.NRGBA, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	in := readIntent(p)
	style := p.Style
	if style == "" || style == StyleAuto {
		style = in.style
	}
	frame, err := draw(ctx, in, style, p.Width, p.Height)
	if err != nil {
		return nil, err
	}
	drawCaption(frame)
	return frame, nil
}

func (p Params) check() error {
	if min(p.Width, p.Height) < MinSide || max(p.Width, p.Height) > MaxSide {
		return fmt.Errorf("%w: %dx%d, each side must be %d to %d", ErrSize, p.Width, p.Height, MinSide, MaxSide)
	}
	if p.Style != "" && !slices.Contains(Styles(), p.Style) {
		return fmt.Errorf("%w: use one of %s", ErrStyle, strings.Join(Styles(), ", "))
	}
	return nil
}

func draw(ctx context.Context, in *intent, style string, w, h int) (*image.NRGBA, error) {
	if style == StylePixel {
		return drawPixels(ctx, in, w, h)
	}
	s := newScene(ctx, in, w, h)
	painters[style](s)
	return s.render()
}
