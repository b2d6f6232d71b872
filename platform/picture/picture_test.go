package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"strings"
	"testing"
)

func TestEveryAcceptedTypeBecomesPNG(t *testing.T) {
	want := sample(32, 16)
	for source, data := range map[string][]byte{
		"image/png": pngBytes(t, want), "image/jpeg": jpegBytes(t, want), "image/gif": gifBytes(t, want),
	} {
		t.Run(source, func(t *testing.T) {
			p, m := mustNormalize(t, data)
			if p.Source != source || p.Width != 32 || p.Height != 16 {
				t.Errorf("got %s %dx%d", p.Source, p.Width, p.Height)
			}
			for _, at := range []image.Point{{3, 3}, {28, 3}, {3, 12}, {28, 12}} {
				if !near(m.At(at.X, at.Y), want.At(at.X, at.Y)) {
					t.Errorf("at %v: %v, want %v", at, m.At(at.X, at.Y), want.At(at.X, at.Y))
				}
			}
		})
	}
}

func TestWebPOfBothCodingsBecomesPNG(t *testing.T) {
	for name, text := range map[string]string{"lossless": webpLossless, "lossy": webpLossy} {
		t.Run(name, func(t *testing.T) {
			p, _ := mustNormalize(t, decoded(t, text))
			if p.Source != "image/webp" || p.Width != 1 || p.Height != 1 {
				t.Errorf("got %s %dx%d", p.Source, p.Width, p.Height)
			}
		})
	}
}

func TestUnusualColourModelsSurvive(t *testing.T) {
	deep := image.NewNRGBA64(image.Rect(0, 0, 3, 3))
	deep.SetNRGBA64(1, 1, color.NRGBA64{0x1234, 0x5678, 0x9abc, 0x8000})
	_, m := mustNormalize(t, pngBytes(t, deep))
	if got := m.At(1, 1); got != (color.NRGBA64{0x1234, 0x5678, 0x9abc, 0x8000}) {
		t.Errorf("16-bit pixel became %v", got)
	}
	grey := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range grey.Pix {
		grey.Pix[i] = 99
	}
	if _, m := mustNormalize(t, jpegBytes(t, grey)); m.ColorModel() != color.GrayModel {
		t.Errorf("a grey JPEG became %T", m)
	}
}

func TestTransparentColourIsKeptExactly(t *testing.T) {
	m := image.NewNYCbCrA(image.Rect(0, 0, 2, 1), image.YCbCrSubsampleRatio444)
	m.Y[0], m.Cb[0], m.Cr[0], m.A[0] = 180, 90, 200, 3
	got := encodable(m).At(0, 0)
	r, g, b := color.YCbCrToRGB(180, 90, 200)
	if got != (color.NRGBA{r, g, b, 3}) {
		t.Errorf("got %v, want %v", got, color.NRGBA{r, g, b, 3})
	}
}

func TestPNGLosesTextAndKeepsColour(t *testing.T) {
	plain := pngBytes(t, sample(8, 8))
	gamma := pngChunk("gAMA", "\x00\x00\xb1\x8f")
	data := withChunks(plain, pngChunk("tEXt", "parameters\x00secret prompt"), gamma,
		pngChunk("iTXt", "prompt\x00\x00\x00\x00\x00secret prompt"), pngChunk("zTXt", "c\x00\x00x"),
		pngChunk("eXIf", "MM\x00*secret prompt"), pngChunk("caBX", "secret prompt"), pngChunk("prVt", "secret prompt"))
	data = append(data, "secret prompt after the end"...)
	p, _ := mustNormalize(t, data)
	if want := withChunks(plain, gamma); !bytes.Equal(p.PNG, want) {
		t.Errorf("got %d bytes, want the %d of the plain PNG with its gamma", len(p.PNG), len(want))
	}
	if bytes.Contains(p.PNG, []byte("secret")) {
		t.Error("text survived")
	}
}

func TestExifOrientationIsApplied(t *testing.T) {
	red, green := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}
	blue, white := color.NRGBA{0, 0, 255, 255}, color.NRGBA{255, 255, 255, 255}
	stored := jpegBytes(t, sample(32, 16)) // red, green over blue, white
	for orientation, want := range [][4]color.NRGBA{
		0: {red, green, blue, white}, 1: {red, green, blue, white}, 2: {green, red, white, blue},
		3: {white, blue, green, red}, 4: {blue, white, red, green}, 5: {red, blue, green, white},
		6: {blue, red, white, green}, 7: {white, green, blue, red}, 8: {green, white, red, blue},
		9: {red, green, blue, white},
	} {
		for name, data := range map[string][]byte{
			"little endian": withExif(stored, binary.LittleEndian, "II*\x00", uint16(orientation)),
			"big endian":    withExif(stored, binary.BigEndian, "MM\x00*", uint16(orientation)),
		} {
			p, m := mustNormalize(t, data)
			w, h := 32, 16
			if orientation >= 5 && orientation <= 8 {
				w, h = 16, 32
			}
			if p.Width != w || p.Height != h {
				t.Fatalf("orientation %d, %s: %dx%d, want %dx%d", orientation, name, p.Width, p.Height, w, h)
			}
			for i, c := range want {
				x, y := w/4+i%2*w/2, h/4+i/2*h/2
				if !near(m.At(x, y), c) {
					t.Errorf("orientation %d, %s, quarter %d: %v, want %v", orientation, name, i, m.At(x, y), c)
				}
			}
		}
	}
}

func TestMalformedExifCountsAsNone(t *testing.T) {
	for name, tiff := range map[string]string{
		"empty": "", "wrong magic": "XX*\x00\x08\x00\x00\x00", "directory far away": "II*\x00\xff\xff\xff\xff",
		"directory cut off": "II*\x00\x08\x00\x00\x00\x05\x00\x12\x01", "too many entries": "II*\x00\x08\x00\x00\x00\xff\xff",
		"wrong field type": "II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x04\x00\x01\x00\x00\x00\x06\x00\x00\x00",
	} {
		if got := tiffOrientation([]byte(tiff)); got != 1 {
			t.Errorf("%s: orientation %d, want 1", name, got)
		}
	}
}

func TestSmallGIFFrameKeepsItsPlace(t *testing.T) {
	frame := image.NewPaletted(image.Rect(4, 2, 6, 3), color.Palette{color.NRGBA{255, 0, 0, 255}})
	var b bytes.Buffer
	err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 10, Height: 8}})
	if err != nil {
		t.Fatal(err)
	}
	p, m := mustNormalize(t, b.Bytes())
	if p.Width != 10 || p.Height != 8 {
		t.Fatalf("%dx%d, want 10x8", p.Width, p.Height)
	}
	if _, _, _, a := m.At(0, 0).RGBA(); a != 0 {
		t.Error("outside the frame is not transparent")
	}
	if !near(m.At(5, 2), color.NRGBA{255, 0, 0, 255}) {
		t.Errorf("inside the frame is %v", m.At(5, 2))
	}
}

func TestCancelledContextStopsBothFunctions(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Encode(ctx, sample(4, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode: %v", err)
	}
	if _, err := Normalize(ctx, pngBytes(t, sample(4, 4)), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Normalize: %v", err)
	}
}

// endsAfter is a context that ends at its nth look.
type endsAfter struct {
	context.Context
	left int
}

func (c *endsAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestEncodeStopsHalfWay(t *testing.T) {
	noisy := image.NewNRGBA(image.Rect(0, 0, 512, 512))
	state := uint32(1)
	for i := range noisy.Pix {
		state = state*1664525 + 1013904223
		noisy.Pix[i] = uint8(state >> 24)
	}
	if _, err := Encode(&endsAfter{t.Context(), 4}, noisy); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want DeadlineExceeded", err)
	}
}

func TestDecoderPanicBecomesCorrupt(t *testing.T) {
	f := format{decode: func([]byte) (image.Image, error) { panic("index out of range") }}
	m, err := f.decodeAll(nil)
	if m != nil || err == nil || strings.Contains(err.Error(), "index") {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestEncodeRefusesAnEmptyPicture(t *testing.T) {
	if _, err := Encode(t.Context(), image.NewNRGBA(image.Rect(0, 0, 0, 5))); err == nil {
		t.Error("no error")
	}
}

func FuzzNormalize(f *testing.F) {
	m := sample(4, 4)
	f.Add(withChunks(pngBytes(f, m), pngChunk("tEXt", "a\x00b")))
	f.Add(withExif(jpegBytes(f, m), binary.BigEndian, "MM\x00*", 6))
	f.Add(gifBytes(f, m))
	f.Add(decoded(f, webpLossless))
	f.Add(decoded(f, webpLossy))
	f.Add([]byte("<svg/>"))
	f.Add([]byte(pngMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Normalize(t.Context(), data, Limits{MaxPixels: 1 << 16})
		if err != nil {
			if !errors.Is(err, ErrNotImage) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		c, err := png.DecodeConfig(bytes.NewReader(p.PNG))
		if err != nil || c.Width != p.Width || c.Height != p.Height {
			t.Fatalf("result: %v %dx%d, said %dx%d", err, c.Width, c.Height, p.Width, p.Height)
		}
		again, err := Normalize(t.Context(), p.PNG, Limits{})
		if err != nil || !bytes.Equal(again.PNG, p.PNG) {
			t.Fatalf("a second pass changed the picture or failed: %v", err)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	m := sample(1024, 1024)
	for i := range m.Pix {
		if i%4 != 3 {
			m.Pix[i] ^= uint8(i * i >> 13 & 15)
		}
	}
	for name, data := range map[string][]byte{"png": pngBytes(b, m), "jpeg": jpegBytes(b, m)} {
		b.Run(name+"/1024", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Normalize(b.Context(), data, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
