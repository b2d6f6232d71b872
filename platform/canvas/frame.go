package canvas

import (
	"context"
	"image"
)

// layer paints itself over one row at a time; rows come from top to bottom.
type layer interface {
	paint(y int, row []rgb)
}

// layerFunc is a layer in one function.
type layerFunc func(y int, row []rgb)

func (f layerFunc) paint(y int, row []rgb) { f(y, row) }

// scene is a picture being composed: its layers from back to front, over one frame.
type scene struct {
	ctx    context.Context // of this one Render call
	in     *intent
	pal    *palette
	w, h   int
	unit   float64 // the shorter side in pixels: sizes scale with it
	frame  *image.NRGBA
	layers []layer
	flat   bool // no dithering: there is no slow gradient to hide
}

func newScene(ctx context.Context, in *intent, w, h int) *scene {
	return &scene{
		ctx: ctx, in: in, pal: newPalette(in), w: w, h: h,
		unit:  float64(min(w, h)),
		frame: image.NewNRGBA(image.Rect(0, 0, w, h)),
	}
}

func (s *scene) add(l layer) { s.layers = append(s.layers, l) }

func (s *scene) addFunc(f layerFunc) { s.layers = append(s.layers, f) }

// random gives every part of a picture its own numbers, so that leaving one part out
// does not move the others.
func (s *scene) random(part string) *random { return s.in.random(part) }

// px turns a length in units into pixels.
func (s *scene) px(units float64) float64 { return mul(units, s.unit) }

// render paints all rows. Memory is the frame and one row.
func (s *scene) render() (*image.NRGBA, error) {
	row := make([]rgb, s.w)
	for y := range s.h {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		for _, l := range s.layers {
			l.paint(y, row)
		}
		s.store(y, row)
	}
	return s.frame, nil
}

// bayer is the 4x4 ordered-dither matrix; it hides the steps of slow gradients and, being
// regular, still compresses well.
var bayer = [16]float64{0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5}

func (s *scene) store(y int, row []rgb) {
	out := s.frame.Pix[y*s.frame.Stride:][:s.w*4]
	for x, c := range row {
		d := 0.5
		if !s.flat {
			d = (bayer[y&3<<2|x&3] + 0.5) / 16
		}
		out[4*x] = channel(c.r, d)
		out[4*x+1] = channel(c.g, d)
		out[4*x+2] = channel(c.b, d)
		out[4*x+3] = 255
	}
}

func channel(c, dither float64) uint8 {
	return uint8(min(max(mul(c, 255)+dither, 0), 255))
}

// seen is a pixel that has been stored already, for reflections; x and y are clamped.
func (s *scene) seen(x, y int) rgb {
	x, y = min(max(x, 0), s.w-1), min(max(y, 0), s.h-1)
	p := s.frame.Pix[y*s.frame.Stride+4*x:][:3]
	return rgb{float64(p[0]) / 255, float64(p[1]) / 255, float64(p[2]) / 255}
}
