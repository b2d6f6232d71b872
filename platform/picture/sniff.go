package picture

import (
	"bytes"
	"net/http"
	"strings"
)

// MIME types that Normalize accepts.
const (
	typePNG  = "image/png"
	typeJPEG = "image/jpeg"
	typeGIF  = "image/gif"
	typeWebP = "image/webp"
)

const (
	pngMagic    = "\x89PNG\r\n\x1a\n"
	sniffLength = 1024
)

// Sniff names the MIME type that data has by its first bytes: the accepted image types, the
// usual impostors (SVG, HTML, JSON, AVIF, HEIC), else what net/http makes of it, without
// parameters. It is never empty.
func Sniff(data []byte) string {
	head := data[:min(len(data), sniffLength)]
	switch {
	case bytes.HasPrefix(head, []byte(pngMagic)):
		return typePNG
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return typeJPEG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return typeGIF
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return typeWebP
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		return sniffBrand(string(head[8:12]))
	}
	if kind := sniffText(head); kind != "" {
		return kind
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return kind
}

// sniffBrand reads the major brand of an ISO media file (ISO/IEC 14496-12).
func sniffBrand(brand string) string {
	switch brand {
	case "avif", "avis":
		return "image/avif"
	case "heic", "heix", "mif1", "msf1":
		return "image/heic"
	}
	return "video/mp4"
}

func sniffText(head []byte) string {
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))))
	starts := func(prefix string) bool { return bytes.HasPrefix(text, []byte(prefix)) }
	switch {
	case starts("<svg"), (starts("<?xml") || starts("<!")) && bytes.Contains(text, []byte("<svg")):
		return "image/svg+xml"
	case starts("{"), starts("["):
		return "application/json"
	case starts("<?xml"):
		return "text/xml"
	case starts("<!doctype html"), starts("<html"):
		return "text/html"
	}
	return ""
}
