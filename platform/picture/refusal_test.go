package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"testing"
)

func TestImpostorsAreNamedAndRefused(t *testing.T) {
	for want, data := range map[string]string{
		"image/svg+xml":            "\xef\xbb\xbf \n<SVG xmlns='http://www.w3.org/2000/svg'/>",
		"text/html":                "<!DOCTYPE html><html></html>",
		"application/json":         ` {"error":"quota"}`,
		"image/avif":               "\x00\x00\x00\x20ftypavif\x00\x00\x00\x00",
		"image/heic":               "\x00\x00\x00\x20ftypheic\x00\x00\x00\x00",
		"image/bmp":                "BM\x00\x00\x00\x00\x00\x00",
		"text/plain":               "",
		"application/octet-stream": "\x00\x01\x02\x03",
		"text/xml":                 "<?xml version='1.0'?><feed/>",
		"image/webp (animated)":    "RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(want, func(t *testing.T) {
			_, err := Normalize(t.Context(), []byte(data), Limits{})
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) || unsupported.Type != want || !errors.Is(err, ErrNotImage) {
				t.Errorf("error %v, want unsupported %s", err, want)
			}
			if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
				t.Errorf("error %v is of two kinds", err)
			}
		})
	}
	if got := Sniff([]byte("<?xml version='1.0'?><!DOCTYPE svg><svg/>")); got != "image/svg+xml" {
		t.Errorf("SVG behind an XML declaration is %s", got)
	}
}

// claims patches the size a PNG, JPEG or GIF header declares.
func claims(kind string, data []byte, w, h uint16) []byte {
	out := append([]byte(nil), data...)
	switch kind {
	case "png":
		binary.BigEndian.PutUint32(out[16:], uint32(w))
		binary.BigEndian.PutUint32(out[20:], uint32(h))
		binary.BigEndian.PutUint32(out[29:], crc32.ChecksumIEEE(out[12:29]))
	case "jpeg":
		at := bytes.Index(out, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(out[at+5:], h)
		binary.BigEndian.PutUint16(out[at+7:], w)
	case "gif":
		binary.LittleEndian.PutUint16(out[6:], w)
		binary.LittleEndian.PutUint16(out[8:], h)
	}
	return out
}

func TestBombsAreRefusedBeforeDecoding(t *testing.T) {
	m := sample(8, 8)
	huge := append([]byte("RIFF\x12\x00\x00\x00WEBPVP8L\x05\x00\x00\x00\x2f"), 0xff, 0xff, 0xff, 0x0f, 0)
	for name, data := range map[string][]byte{
		"png":  claims("png", pngBytes(t, m), 65000, 65000),
		"jpeg": claims("jpeg", jpegBytes(t, m), 65000, 65000),
		"gif":  claims("gif", gifBytes(t, m), 65000, 65000),
		"webp": huge,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := Normalize(t.Context(), data, Limits{}); !errors.Is(err, ErrTooLarge) {
				t.Errorf("error %v, want ErrTooLarge", err)
			}
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > 256<<10 {
				t.Errorf("%d bytes allocated", allocated)
			}
		})
	}
}

func TestLimitsHoldAtTheirEdge(t *testing.T) {
	data := pngBytes(t, sample(10, 10))
	if _, err := Normalize(t.Context(), data, Limits{MaxPixels: 100, MaxBytes: int64(len(data))}); err != nil {
		t.Errorf("exactly at both limits: %v", err)
	}
	if _, err := Normalize(t.Context(), data, Limits{MaxPixels: 99}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one pixel too many: %v", err)
	}
	if _, err := Normalize(t.Context(), data, Limits{MaxBytes: int64(len(data)) - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestTruncationAnywhereIsRefused(t *testing.T) {
	m := sample(16, 16)
	for name, data := range map[string][]byte{
		"png": pngBytes(t, m), "jpeg": jpegBytes(t, m), "gif": gifBytes(t, m),
		"lossless webp": decoded(t, webpLossless), "lossy webp": decoded(t, webpLossy),
	} {
		t.Run(name, func(t *testing.T) {
			for n := 12; n < len(data); n++ {
				if _, err := Normalize(t.Context(), data[:n], Limits{}); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("cut to %d of %d bytes: error %v, want ErrCorrupt", n, len(data), err)
				}
			}
		})
	}
}

func TestDamagedPNGIsRefused(t *testing.T) {
	data := pngBytes(t, sample(16, 16))
	for at := 8; at < len(data); at++ {
		broken := append([]byte(nil), data...)
		broken[at] ^= 0x55
		_, err := Normalize(t.Context(), broken, Limits{})
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrNotImage) {
			t.Fatalf("byte %d flipped: error %v", at, err)
		}
	}
}

func TestJPEGWithTooManyScansIsRefused(t *testing.T) {
	data := jpegBytes(t, sample(8, 8))
	at := bytes.Index(data, []byte{0xff, 0xda})
	scan := data[at : len(data)-2]
	many := append([]byte(nil), data[:at]...)
	many = append(many, bytes.Repeat(scan, maxScans+1)...)
	many = append(many, 0xff, 0xd9)
	if _, err := Normalize(t.Context(), many, Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
}
