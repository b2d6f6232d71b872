// Package picture turns image bytes from outside into a PNG that can be stored and served:
// recognised by its bytes and not by what the sender calls it, limited before anything is
// allocated for its pixels, decoded to the last one, and free of text that rides along.
package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"
)

// Defaults for the fields of Limits that are zero.
const (
	DefaultMaxBytes  = 32 << 20
	DefaultMaxPixels = 50_000_000
)

// Kinds of failure, for errors.Is. Messages never quote the data.
var (
	// ErrNotImage: the data is no image, or of a type that is not accepted (see
	// UnsupportedError).
	ErrNotImage = errors.New("picture: not an accepted image")
	// ErrTooLarge: the data or the picture it announces exceeds a limit.
	ErrTooLarge = errors.New("picture: too large")
	// ErrCorrupt: the data begins like an accepted image but is cut off or damaged.
	ErrCorrupt = errors.New("picture: corrupt image")
)

// UnsupportedError names the type of data that was recognised and refused. It is an
// ErrNotImage.
type UnsupportedError struct {
	Type string // MIME type, for instance image/svg+xml or application/json
}

func (e *UnsupportedError) Error() string { return ErrNotImage.Error() + ": " + e.Type }

// Is makes errors.Is(err, ErrNotImage) true.
func (e *UnsupportedError) Is(target error) bool { return target == ErrNotImage }

// Limits bound what Normalize accepts; zero fields take the defaults.
type Limits struct {
	MaxBytes int64 // of the data
	// MaxPixels is of width times height. Decoding takes up to 8 bytes for each
	// pixel, and a progressive JPEG, whose coefficients are kept as 32 bits each,
	// up to about 30.
	MaxPixels int64
}

func (l Limits) orDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = DefaultMaxPixels
	}
	return l
}

// Picture is a sound PNG.
type Picture struct {
	PNG           []byte
	Width, Height int    // pixels, after rotation
	Source        string // MIME type of the data it was made from
}

// format is one accepted type.
type format struct {
	config func([]byte) (image.Config, error)
	check  func([]byte) error // what the decoder lets pass: missing ends, absurd structure
	decode func([]byte) (image.Image, error)
}

var formats = map[string]format{
	typePNG: {
		config: func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
		check:  func([]byte) error { return nil },
		decode: func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
	},
	typeJPEG: {
		config: func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(b)) },
		check:  checkJPEG,
		decode: decodeJPEG,
	},
	typeGIF: {
		config: func(b []byte) (image.Config, error) { return gif.DecodeConfig(bytes.NewReader(b)) },
		check:  checkGIF,
		decode: decodeGIF,
	},
	typeWebP: {
		config: func(b []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(b)) },
		check:  checkWebP,
		decode: func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
	},
}

// Normalize makes a PNG of PNG, JPEG, GIF (its first frame) or still WebP data.
//
// A PNG keeps its pixel data and colour chunks byte for byte and loses all others: comments
// (in which generators leave prompts), EXIF, provenance manifests, animation, and whatever
// follows its end. From the other types only pixels are taken; a JPEG is turned the way its
// EXIF orientation asks.
//
// Errors are ErrNotImage, ErrTooLarge, ErrCorrupt, or the context's. The context is looked at
// between the steps and while encoding; decoding one picture within the limits is not
// interrupted. data is not kept or changed.
func Normalize(ctx context.Context, data []byte, limits Limits) (Picture, error) {
	limits = limits.orDefaults()
	if int64(len(data)) > limits.MaxBytes {
		return Picture{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), limits.MaxBytes)
	}
	kind := Sniff(data)
	f, ok := formats[kind]
	if !ok {
		return Picture{}, &UnsupportedError{Type: kind}
	}
	if err := f.admit(kind, data, limits); err != nil {
		return Picture{}, err
	}
	if err := ctx.Err(); err != nil {
		return Picture{}, err
	}
	m, err := f.decodeAll(data)
	if err != nil {
		return Picture{}, refused(kind, err)
	}
	p := Picture{Width: m.Bounds().Dx(), Height: m.Bounds().Dy(), Source: kind}
	if kind == typePNG {
		p.PNG, err = stripPNG(data)
	} else {
		p.PNG, err = Encode(ctx, m)
	}
	if err != nil {
		return Picture{}, err
	}
	return p, nil
}

// admit holds the data against the limits before its pixels cost anything.
func (f format) admit(kind string, data []byte, limits Limits) error {
	c, err := f.config(data)
	if err != nil {
		return refused(kind, err)
	}
	if c.Width <= 0 || c.Height <= 0 {
		return corrupt(errors.New("no pixels"))
	}
	if int64(c.Width) > limits.MaxPixels/int64(c.Height) {
		return fmt.Errorf("%w: %dx%d, at most %d pixels", ErrTooLarge, c.Width, c.Height, limits.MaxPixels)
	}
	return f.check(data)
}

// decodeAll turns a decoder's panic into an error: hostile bytes have found such places
// before, and a picture is made where nobody else recovers.
func (f format) decodeAll(data []byte) (m image.Image, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errors.New("decoder failed")
		}
	}()
	return f.decode(data)
}

// refused tells sound files in a variant that the decoder lacks (12-bit JPEG, say) from
// damaged ones.
func refused(kind string, err error) error {
	var noJPEG jpeg.UnsupportedError
	var noPNG png.UnsupportedError
	if errors.As(err, &noJPEG) || errors.As(err, &noPNG) {
		return &UnsupportedError{Type: kind + " (unsupported variant)"}
	}
	return corrupt(err)
}

// corrupt keeps a decoder's message, which speaks of the format and not of the content.
func corrupt(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }
