package picture

import (
	"image"
	"image/color"
	"image/draw"
)

// oriented turns and mirrors m as an EXIF orientation asks: the stored first row is shown
// 1 on top, 2 on top mirrored, 3 at the bottom mirrored, 4 at the bottom, 5 at the left,
// 6 at the right, 7 at the right mirrored, 8 at the left mirrored.
func oriented(m image.Image, orientation int) image.Image {
	if orientation <= 1 {
		return m
	}
	src := asRGBA(m)
	w, h := src.Rect.Dx(), src.Rect.Dy()
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		dst = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		row := src.Pix[y*src.Stride:]
		for x := range w {
			i := dst.PixOffset(shownAt(x, y, w, h, orientation))
			copy(dst.Pix[i:i+4:i+4], row[4*x:4*x+4])
		}
	}
	return dst
}

// shownAt is where the stored pixel (x, y) of a w by h picture belongs.
func shownAt(x, y, w, h, orientation int) (int, int) {
	switch orientation {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return h - 1 - y, x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return y, w - 1 - x
	}
	return x, y
}

// asRGBA converts by the fast paths of image/draw.
func asRGBA(m image.Image) *image.RGBA {
	if rgba, ok := m.(*image.RGBA); ok && rgba.Rect.Min == (image.Point{}) {
		return rgba
	}
	dst := image.NewRGBA(image.Rect(0, 0, m.Bounds().Dx(), m.Bounds().Dy()))
	draw.Draw(dst, dst.Rect, m, m.Bounds().Min, draw.Src)
	return dst
}

// encodable gives the PNG encoder a type that it need not ask for each pixel.
func encodable(m image.Image) image.Image {
	switch m := m.(type) {
	case *image.YCbCr, *image.CMYK:
		return asRGBA(m)
	case *image.NYCbCrA:
		return separateAlpha(m)
	}
	return m
}

// separateAlpha keeps colours exact where they are nearly transparent, which premultiplied
// RGBA would not.
func separateAlpha(m *image.NYCbCrA) *image.NRGBA {
	b := m.Rect
	dst := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		row := dst.Pix[y*dst.Stride:]
		for x := range b.Dx() {
			c, a := m.COffset(b.Min.X+x, b.Min.Y+y), m.AOffset(b.Min.X+x, b.Min.Y+y)
			luma := m.Y[m.YOffset(b.Min.X+x, b.Min.Y+y)]
			red, green, blue := color.YCbCrToRGB(luma, m.Cb[c], m.Cr[c])
			copy(row[4*x:4*x+4], []byte{red, green, blue, m.A[a]})
		}
	}
	return dst
}
