package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
)

// maxScans bounds the passes of a progressive JPEG: each costs time for all its pixels, and
// real ones have about ten.
const maxScans = 100

// JPEG markers (ITU-T T.81, table B.1).
const (
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP1 = 0xe1
)

// checkJPEG counts scans and looks for the end marker.
func checkJPEG(data []byte) error {
	scans := 0
	ended := walkJPEG(data, func(marker byte, _ []byte) bool {
		if marker == markerSOS {
			scans++
		}
		return scans <= maxScans
	})
	if scans > maxScans {
		return fmt.Errorf("%w: more than %d scans", ErrTooLarge, maxScans)
	}
	if !ended {
		return corrupt(errors.New("jpeg: no end"))
	}
	return nil
}

// walkJPEG calls visit for each segment with its payload until visit says stop, and reports
// whether it came to the end marker.
func walkJPEG(data []byte, visit func(marker byte, payload []byte) bool) bool {
	rest := data[2:] // the start marker
	for {
		i := nextMarker(rest)
		if i < 0 {
			return false
		}
		marker := rest[i+1]
		rest = rest[i+2:]
		if marker == markerEOI {
			return true
		}
		if len(rest) < 2 {
			return false
		}
		size := int(binary.BigEndian.Uint16(rest))
		if size < 2 || size > len(rest) {
			return false
		}
		if !visit(marker, rest[2:size]) {
			return false
		}
		rest = rest[size:]
	}
}

// nextMarker finds the next marker, skipping coded data (in which FF is followed by 00 or
// is a restart marker) and fill bytes; -1 if there is none.
func nextMarker(b []byte) int {
	for i := 0; ; {
		at := bytes.IndexByte(b[i:], 0xff)
		if at < 0 || i+at+1 >= len(b) {
			return -1
		}
		i += at
		switch next := b[i+1]; {
		case next == 0xff:
			i++
		case next == 0 || next == 1 || next >= markerRST0 && next <= markerRST7:
			i += 2
		default:
			return i
		}
	}
}

func decodeJPEG(data []byte) (image.Image, error) {
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return oriented(m, orientation(data)), nil
}

// orientation is the EXIF orientation of a JPEG, 1 to 8; 1 if there is none.
func orientation(data []byte) int {
	found := 1
	walkJPEG(data, func(marker byte, payload []byte) bool {
		exif, ok := bytes.CutPrefix(payload, []byte("Exif\x00\x00"))
		if marker == markerAPP1 && ok {
			found = tiffOrientation(exif)
			return false
		}
		return marker != markerSOS
	})
	return found
}

// tiffOrientation reads tag 0x0112 of the first directory (TIFF 6.0, section 2; EXIF 2.3,
// section 4.6.4). Whatever is malformed counts as absent.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	const entry = 12
	count := int(order.Uint16(b[at:]))
	dir := b[at+2:]
	for ; count > 0 && len(dir) >= entry; count-- {
		const tag, short = 0x0112, 3
		if order.Uint16(dir) == tag && order.Uint16(dir[2:]) == short {
			if v := int(order.Uint16(dir[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		dir = dir[entry:]
	}
	return 1
}
