package picture

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"image/gif"
)

var errGIFEnd = errors.New("gif: no end")

// checkGIF walks the blocks (GIF89a specification, section 15 onwards) to the trailer, which
// the decoder of a first frame never sees.
func checkGIF(data []byte) error {
	const header = 13
	if len(data) < header {
		return corrupt(errGIFEnd)
	}
	rest := skipColours(data[header:], data[10])
	for len(rest) > 0 {
		kind := rest[0]
		rest = rest[1:]
		switch kind {
		case 0x3b: // trailer
			return nil
		case 0x21: // extension: a label, then blocks
			rest = skip(rest, 1)
		case 0x2c: // image: its place, colours and code size, then blocks
			const descriptor = 9
			if len(rest) < descriptor {
				return corrupt(errGIFEnd)
			}
			rest = skip(skipColours(rest[descriptor:], rest[descriptor-1]), 1)
		default:
			return corrupt(errors.New("gif: unknown block"))
		}
		rest = skipBlocks(rest)
	}
	return corrupt(errGIFEnd)
}

func skip(b []byte, n int) []byte { return b[min(n, len(b)):] }

// skipColours passes the colour table that the flags announce.
func skipColours(b []byte, flags byte) []byte {
	if flags&0x80 == 0 {
		return b
	}
	return skip(b, 3<<(flags&7+1))
}

// skipBlocks passes data blocks up to and including the empty one.
func skipBlocks(b []byte) []byte {
	for len(b) > 0 {
		n := int(b[0])
		b = skip(b, n+1)
		if n == 0 {
			break
		}
	}
	return b
}

// decodeGIF is the first frame at its place on the screen.
func decodeGIF(data []byte) (image.Image, error) {
	m, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	c, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	screen := image.Rect(0, 0, c.Width, c.Height)
	if m.Bounds() == screen {
		return m, nil
	}
	whole := image.NewRGBA(screen)
	draw.Draw(whole, m.Bounds(), m, m.Bounds().Min, draw.Src)
	return whole, nil
}
