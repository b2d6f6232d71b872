package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// keptChunks are the PNG chunks (PNG Specification, Third Edition, 2025) that make up the
// picture and its colour. All others are metadata or animation.
var keptChunks = map[string]bool{
	"IHDR": true, "PLTE": true, "IDAT": true, "IEND": true, "tRNS": true,
	"gAMA": true, "cHRM": true, "sRGB": true, "iCCP": true, "sBIT": true,
	"cICP": true, "mDCV": true, "cLLI": true, "pHYs": true, "bKGD": true,
}

// stripPNG copies the kept chunks of a PNG that has been decoded, and so has its checksums
// verified. It fails with ErrCorrupt on a PNG without an end.
func stripPNG(data []byte) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(data)))
	out.WriteString(pngMagic)
	rest := data[len(pngMagic):]
	for {
		const frame = 12 // length, type and checksum
		if len(rest) < frame {
			return nil, corrupt(errors.New("png: no end"))
		}
		size := uint64(binary.BigEndian.Uint32(rest)) + frame
		if size > uint64(len(rest)) {
			return nil, corrupt(errors.New("png: chunk is cut off"))
		}
		kind := string(rest[4:8])
		if keptChunks[kind] {
			out.Write(rest[:size])
		}
		if kind == "IEND" {
			return out.Bytes(), nil
		}
		rest = rest[size:]
	}
}
