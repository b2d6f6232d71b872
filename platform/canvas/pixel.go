package canvas

import (
	"context"
	"image"
	"image/color"
	"slices"
)

// coarse is how many of the large pixels the shorter side of a pixel picture has.
const coarse = 112

// inks is how many colours a pixel picture uses.
const inks = 24

// drawPixels paints a small scene, reduces its colours and enlarges it without smoothing.
func drawPixels(ctx context.Context, in *intent, w, h int) (*image.NRGBA, error) {
	style := in.style
	if style == StylePixel {
		style = in.sceneBehind()
	}
	step := max(1, min(w, h)/coarse)
	small, err := draw(ctx, in, style, max((w+step-1)/step, 1), max((h+step-1)/step, 1))
	if err != nil {
		return nil, err
	}
	reduce(small)
	if step == 1 {
		return small, nil
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := out.Pix[y*out.Stride:][:w*4]
		if y%step != 0 {
			copy(row, out.Pix[(y-1)*out.Stride:])
			continue
		}
		from := small.Pix[y/step*small.Stride:]
		for x := range w {
			copy(row[4*x:4*x+4], from[x/step*4:])
		}
	}
	return out, nil
}

// sceneBehind is the scene of a prompt that asks for pixels and perhaps more.
func (in *intent) sceneBehind() string {
	other := *in
	other.style = ""
	other.chooseStyle()
	if other.style == StyleWatercolor || other.style == StyleFlow {
		return StyleLandscape
	}
	return other.style
}

// reduce maps the picture to few colours by median cut, with ordered dithering.
func reduce(m *image.NRGBA) {
	pixels := make([]color.NRGBA, 0, len(m.Pix)/4)
	for i := 0; i < len(m.Pix); i += 4 {
		pixels = append(pixels, color.NRGBA{m.Pix[i], m.Pix[i+1], m.Pix[i+2], 255})
	}
	table := medianCut(pixels)
	w := m.Rect.Dx()
	for i := 0; i < len(m.Pix); i += 4 {
		x, y := i/4%w, i/4/w
		push := int(bayer[y&3<<2|x&3])*2/3 - 5 // -5..5
		c := nearest(table, int(m.Pix[i])+push, int(m.Pix[i+1])+push, int(m.Pix[i+2])+push)
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = c.R, c.G, c.B
	}
}

// medianCut (Heckbert, 1982) splits the box of colours with the widest channel at its
// median until there are enough boxes, and averages each.
func medianCut(pixels []color.NRGBA) []color.NRGBA {
	boxes := [][]color.NRGBA{pixels}
	for len(boxes) < inks {
		best, width, axis := -1, 0, 0
		for i, b := range boxes {
			if a, wide := widest(b); wide > width && len(b) > 1 {
				best, width, axis = i, wide, a
			}
		}
		if best < 0 {
			break
		}
		b := boxes[best]
		slices.SortStableFunc(b, func(p, q color.NRGBA) int { return component(p, axis) - component(q, axis) })
		boxes[best] = b[:len(b)/2]
		boxes = append(boxes, b[len(b)/2:])
	}
	table := make([]color.NRGBA, len(boxes))
	for i, b := range boxes {
		table[i] = average(b)
	}
	return table
}

func component(c color.NRGBA, axis int) int {
	return int([3]uint8{c.R, c.G, c.B}[axis])
}

// widest finds the channel that varies most in a box.
func widest(box []color.NRGBA) (axis, width int) {
	for a := range 3 {
		lo, hi := 255, 0
		for _, c := range box {
			v := component(c, a)
			lo, hi = min(lo, v), max(hi, v)
		}
		if hi-lo > width {
			axis, width = a, hi-lo
		}
	}
	return axis, width
}

func average(box []color.NRGBA) color.NRGBA {
	var r, g, b int
	for _, c := range box {
		r, g, b = r+int(c.R), g+int(c.G), b+int(c.B)
	}
	n := len(box)
	return color.NRGBA{uint8(r / n), uint8(g / n), uint8(b / n), 255}
}

func nearest(table []color.NRGBA, r, g, b int) color.NRGBA {
	best, away := table[0], 1<<30
	for _, c := range table {
		dr, dg, db := int(c.R)-r, int(c.G)-g, int(c.B)-b
		if d := 2*dr*dr + 4*dg*dg + 3*db*db; d < away {
			best, away = c, d
		}
	}
	return best
}
