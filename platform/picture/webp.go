package picture

import (
	"encoding/binary"
	"errors"
)

// checkWebP refuses files shorter than they say, and animations, which the decoder lacks.
func checkWebP(data []byte) error {
	const header = 12 // "RIFF", size, "WEBP"
	size := uint64(binary.LittleEndian.Uint32(data[4:])) + 8
	if size > uint64(len(data)) {
		return corrupt(errors.New("webp: file is cut off"))
	}
	// The VP8X chunk comes first if there is one; bit 1 of its flags announces animation.
	if len(data) > header+8 && string(data[header:header+4]) == "VP8X" && data[header+8]&2 != 0 {
		return &UnsupportedError{Type: typeWebP + " (animated)"}
	}
	return nil
}
