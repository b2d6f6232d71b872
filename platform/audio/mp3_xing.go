package audio

import (
	"bytes"
	"encoding/binary"
)

// streamHeader is what an encoder's silent first frame (Xing, Info or VBRI) tells about the stream.
type streamHeader struct {
	frames    uint32 // 0 when not told
	hasFrames bool
	trim      int64 // samples of encoder delay and padding; 0 when not told
}

const (
	xingFrames  = 1
	xingBytes   = 2
	xingTOC     = 4
	xingQuality = 8

	vbriOffset = headerSize + 32
)

// parseStreamHeader looks into a whole frame; false if it is an ordinary one.
func parseStreamHeader(frame []byte, h frameHeader) (streamHeader, bool) {
	if h.layer != 3 {
		return streamHeader{}, false
	}
	at := headerSize + h.sideInfo()
	if s, ok := parseXing(frame, at); ok {
		return s, true
	}
	if h.crc {
		if s, ok := parseXing(frame, at+2); ok {
			return s, true
		}
	}
	return parseVBRI(frame)
}

func parseXing(frame []byte, at int) (streamHeader, bool) {
	if len(frame) < at+8 {
		return streamHeader{}, false
	}
	if id := string(frame[at : at+4]); id != "Xing" && id != "Info" {
		return streamHeader{}, false
	}
	flags := binary.BigEndian.Uint32(frame[at+4:])
	at += 8
	var s streamHeader
	if flags&xingFrames != 0 && len(frame) >= at+4 {
		s.frames, s.hasFrames = binary.BigEndian.Uint32(frame[at:]), true
	}
	for _, field := range []struct {
		flag uint32
		size int
	}{{xingFrames, 4}, {xingBytes, 4}, {xingTOC, 100}, {xingQuality, 4}} {
		if flags&field.flag != 0 {
			at += field.size
		}
	}
	s.trim = encoderTrim(frame, at)
	return s, true
}

// encoderTrim reads the LAME tag: nine bytes of encoder name, and at 21 two 12-bit numbers,
// the samples that the encoder put before and after the sound.
func encoderTrim(frame []byte, at int) int64 {
	const trimOffset = 21
	if len(frame) < at+trimOffset+3 {
		return 0
	}
	if name := frame[at : at+4]; !bytes.Equal(name, []byte("LAME")) && !bytes.Equal(name, []byte("Lavc")) && !bytes.Equal(name, []byte("Lavf")) {
		return 0
	}
	t := frame[at+trimOffset:]
	delay := int64(t[0])<<4 | int64(t[1])>>4
	padding := int64(t[1]&15)<<8 | int64(t[2])
	return delay + padding
}

func parseVBRI(frame []byte) (streamHeader, bool) {
	if len(frame) < vbriOffset+18 || string(frame[vbriOffset:vbriOffset+4]) != "VBRI" {
		return streamHeader{}, false
	}
	return streamHeader{frames: binary.BigEndian.Uint32(frame[vbriOffset+14:]), hasFrames: true}, true
}
