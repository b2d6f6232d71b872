package audio

import (
	"bytes"
	"encoding/binary"
)

// frame is one frame found by a walk.
type frame struct {
	header frameHeader
	data   []byte        // the whole frame
	stream *streamHeader // not nil: the frame holds no sound
}

// walk finds the frames of a file, wherever it came from: it passes tags, and on anything else
// looks byte by byte for the next two frames in a row.
type walk struct {
	data   []byte
	at     int
	synced bool // data[at:] follows a frame directly
	last   frameHeader
}

func newWalk(data []byte) *walk {
	return &walk{data: trimTrailers(data)}
}

// next returns the next frame; false at the end. Every call moves forward, and looks at
// a bounded number of bytes for each byte it passes.
func (w *walk) next() (frame, bool) {
	for w.at < len(w.data) {
		rest := w.data[w.at:]
		if n := tagSize(rest); n > 0 {
			w.at += min(n, len(rest))
			continue
		}
		h, ok := parseHeader(rest)
		if !ok || !w.believable(h, rest) {
			w.at++
			w.synced = false
			continue
		}
		w.at += h.size
		w.synced, w.last = true, h
		f := frame{header: h, data: rest[:h.size]}
		if s, ok := parseStreamHeader(f.data, h); ok {
			f.stream = &s
		}
		return f, true
	}
	return frame{}, false
}

// believable tells a frame from bytes that look like a header. In sync, the frame before vouches for it;
// otherwise the next one has to. The last frame of a file must be complete.
func (w *walk) believable(h frameHeader, rest []byte) bool {
	if h.size < headerSize || h.size > len(rest) {
		return false
	}
	if w.synced && h.compatible(w.last) {
		return true
	}
	after := rest[h.size:]
	if len(after) == 0 || tagSize(after) > 0 {
		return true
	}
	next, ok := parseHeader(after)
	return ok && h.compatible(next)
}

const (
	id3v1Size  = 128
	id3v2Size  = 10
	apeTagSize = 32
)

// tagSize returns the length of the ID3v2 or APE tag that data begins with, 0 if there is none.
// It may exceed the data.
func tagSize(data []byte) int {
	if len(data) >= id3v2Size && string(data[:3]) == "ID3" && data[3] != 0xff && data[4] != 0xff {
		return id3v2Length(data)
	}
	if len(data) >= apeTagSize && string(data[:8]) == "APETAGEX" {
		return apeLength(data)
	}
	return 0
}

func id3v2Length(data []byte) int {
	size := 0
	for _, b := range data[6:10] {
		if b >= 0x80 { // not syncsafe: no tag
			return 0
		}
		size = size<<7 | int(b)
	}
	size += id3v2Size
	if data[5]&0x10 != 0 {
		size += id3v2Size // footer
	}
	return size
}

// apeLength is the whole tag for a header and the 32 bytes of a footer, whose items have been passed.
func apeLength(data []byte) int {
	const isHeader = 1 << 29
	if binary.LittleEndian.Uint32(data[20:])&isHeader == 0 {
		return apeTagSize
	}
	size := int64(binary.LittleEndian.Uint32(data[12:])) + apeTagSize
	return int(min(size, int64(len(data))))
}

// trimTrailers cuts the ID3v1 and APE tags off the end, whose contents might look like frames.
func trimTrailers(data []byte) []byte {
	if n := len(data) - id3v1Size; n >= 0 && bytes.HasPrefix(data[n:], []byte("TAG")) {
		data = data[:n]
	}
	n := len(data) - apeTagSize
	if n < 0 || !bytes.HasPrefix(data[n:], []byte("APETAGEX")) {
		return data
	}
	// The size counts the items and this footer, not the header, which begins a walk's tagSize.
	size := int64(binary.LittleEndian.Uint32(data[n+12:]))
	if size < apeTagSize || size > int64(len(data)) {
		return data[:n]
	}
	return data[:int64(len(data))-size]
}
