package audio

import "encoding/binary"

// headerSize is the length of an MPEG audio frame header in bytes.
const headerSize = 4

// Bitrates in kbit/s by header index (ISO/IEC 11172-3 and 13818-3). Index 0, free format, and 15 are refused.
var bitRates = map[[2]int][15]int{
	{1, 1}: {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{1, 2}: {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{1, 3}: {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{2, 1}: {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{2, 2}: {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	{2, 3}: {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// frameHeader is what one frame says about itself.
type frameHeader struct {
	version mpegVersion
	layer   int // 1, 2 or 3
	rate    int // samples per second
	bitRate int // bit/s
	mode    int // 0 stereo, 1 joint stereo, 2 dual channel, 3 mono
	crc     bool
	size    int // of the whole frame in bytes
	samples int // per channel
}

// mpegVersion keeps the header's two bits.
type mpegVersion int

const (
	mpeg25 mpegVersion = 0
	mpeg2  mpegVersion = 2
	mpeg1  mpegVersion = 3

	modeMono = 3
)

// parseHeader reads the header at the start of data; false if there is none.
func parseHeader(data []byte) (frameHeader, bool) {
	if len(data) < headerSize || data[0] != 0xff || data[1]&0xe0 != 0xe0 {
		return frameHeader{}, false
	}
	word := binary.BigEndian.Uint32(data)
	h := frameHeader{
		version: mpegVersion(word >> 19 & 3),
		layer:   4 - int(word>>17&3),
		crc:     word>>16&1 == 0,
		mode:    int(word >> 6 & 3),
	}
	rateIndex, bitIndex, padding := word>>10&3, word>>12&15, int(word>>9&1)
	if h.version == 1 || h.layer == 4 || rateIndex == 3 || bitIndex == 0 || bitIndex == 15 {
		return frameHeader{}, false
	}
	generation := 2
	h.rate = [3]int{22050, 24000, 16000}[rateIndex]
	switch h.version {
	case mpeg1:
		generation = 1
		h.rate *= 2
	case mpeg25:
		h.rate /= 2
	}
	h.bitRate = bitRates[[2]int{generation, h.layer}][bitIndex] * 1000
	h.measure(generation, padding)
	return h, true
}

// measure sets samples and size.
func (h *frameHeader) measure(generation, padding int) {
	switch {
	case h.layer == 1:
		h.samples = 384
		h.size = (12*h.bitRate/h.rate + padding) * 4
		return
	case h.layer == 3 && generation == 2:
		h.samples = 576
	default:
		h.samples = 1152
	}
	h.size = h.samples/8*h.bitRate/h.rate + padding
}

// compatible tells whether two frames can follow each other in one stream.
func (h frameHeader) compatible(other frameHeader) bool {
	return h.version == other.version && h.layer == other.layer && h.rate == other.rate
}

func (h frameHeader) channels() int {
	if h.mode == modeMono {
		return 1
	}
	return 2
}

// sideInfo is the length of the Layer III side information, after which a Xing header stands.
func (h frameHeader) sideInfo() int {
	switch {
	case h.version == mpeg1 && h.mode != modeMono:
		return 32
	case h.version != mpeg1 && h.mode == modeMono:
		return 9
	}
	return 17
}
