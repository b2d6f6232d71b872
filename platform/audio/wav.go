package audio

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Codes of the fmt chunk. Others are compressed formats, for which the header's byte rate counts.
const (
	codePCM        = 1
	codeFloat      = 3
	codeExtensible = 0xfffe
)

const (
	riffHeader  = 12 // "RIFF", size, "WAVE"
	chunkHeader = 8  // id, size

	maxRate     = 768_000
	maxChannels = 64
)

// wavFile is where things are in a WAV file.
type wavFile struct {
	format      []byte // body of the fmt chunk
	code        int
	channels    int
	rate        int
	byteRate    int // of the sound, computed where possible
	blockAlign  int
	bits        int
	dataAt      int // offset of the sound
	dataSize    int // what is there of it, in whole blocks
	sizeWritten int64
	streamed    bool
}

func isWAV(data []byte) bool {
	return len(data) >= riffHeader && string(data[:4]) == "RIFF" && string(data[8:12]) == "WAVE"
}

// parseWAV walks the chunks up to the data chunk.
func parseWAV(data []byte) (wavFile, error) {
	var w wavFile
	if !isWAV(data) {
		return w, fmt.Errorf("%w: no RIFF/WAVE header", ErrFormat)
	}
	for at := int64(riffHeader); at+chunkHeader <= int64(len(data)); {
		id := string(data[at : at+4])
		size := int64(binary.LittleEndian.Uint32(data[at+4:]))
		body := data[at+chunkHeader:]
		switch id {
		case "fmt ":
			if size > int64(len(body)) {
				return w, fmt.Errorf("%w: fmt chunk is cut off", ErrFormat)
			}
			if err := w.parseFormat(body[:size]); err != nil {
				return w, err
			}
		case "data":
			if w.format == nil {
				return w, fmt.Errorf("%w: data before fmt", ErrFormat)
			}
			w.locate(int(at+chunkHeader), size, int64(len(body)))
			return w, nil
		}
		at += chunkHeader + size + size&1
	}
	return w, fmt.Errorf("%w: no data chunk", ErrFormat)
}

func (w *wavFile) parseFormat(body []byte) error {
	if len(body) < 16 {
		return fmt.Errorf("%w: fmt chunk of %d bytes", ErrFormat, len(body))
	}
	le := binary.LittleEndian
	w.code = int(le.Uint16(body))
	w.channels = int(le.Uint16(body[2:]))
	rate, byteRate := le.Uint32(body[4:]), int64(le.Uint32(body[8:]))
	w.blockAlign = int(le.Uint16(body[12:]))
	w.bits = int(le.Uint16(body[14:]))
	if w.code == codeExtensible && len(body) >= 26 {
		w.code = int(le.Uint16(body[24:])) // begins the sub-format's GUID
	}
	if w.channels == 0 || w.channels > maxChannels || rate == 0 || rate > maxRate {
		return fmt.Errorf("%w: %d channels at %d Hz", ErrFormat, w.channels, rate)
	}
	w.rate = int(rate)
	if w.code == codePCM || w.code == codeFloat {
		if w.bits == 0 || w.bits > 64 {
			return fmt.Errorf("%w: %d bits per sample", ErrFormat, w.bits)
		}
		w.blockAlign = w.channels * ((w.bits + 7) / 8)
		byteRate = 0 // counts only where it cannot be computed
	}
	if w.blockAlign == 0 {
		w.blockAlign = 1
	}
	if byteRate == 0 {
		byteRate = int64(w.rate) * int64(w.blockAlign)
	}
	if byteRate > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes per second", ErrFormat, byteRate)
	}
	w.byteRate = int(byteRate)
	w.format = body
	return nil
}

// locate finds the sound. Writers that cannot seek leave a size of zero or a huge one;
// then the rest of the file is the sound.
func (w *wavFile) locate(at int, size, present int64) {
	w.dataAt, w.sizeWritten = at, size
	w.streamed = size > present || size == 0 && present > 0
	if w.streamed {
		size = present
	}
	w.dataSize = int(size - size%int64(w.blockAlign))
}

func inspectWAV(data []byte) (Info, error) {
	w, err := parseWAV(data)
	if err != nil {
		return Info{}, err
	}
	if w.dataSize == 0 {
		return Info{}, fmt.Errorf("%w: the data chunk is empty", ErrNoAudio)
	}
	return Info{
		Format: WAV, Duration: span(int64(w.dataSize), w.byteRate), SampleRate: w.rate, Channels: w.channels,
		BitRate: w.byteRate * 8, BitsPerSample: w.bits, Streamed: w.streamed,
	}, nil
}

// RepairWAV gives a file its true sizes, as espeak-ng --stdout and streaming servers leave them out.
// The result is data itself when nothing is wrong with it, and otherwise a new file with the same sound
// and format. Chunks other than fmt and data are not kept then.
func RepairWAV(data []byte) ([]byte, error) {
	w, err := parseWAV(data)
	if err != nil {
		return nil, err
	}
	if w.dataSize == 0 {
		return nil, fmt.Errorf("%w: the data chunk is empty", ErrNoAudio)
	}
	whole := int64(binary.LittleEndian.Uint32(data[4:]))+chunkHeader == int64(len(data))
	if whole && !w.streamed && w.sizeWritten == int64(w.dataSize) {
		return data, nil
	}
	return buildWAV(w.format, w.sound(data))
}

// JoinWAV appends the sound of files with the same format (their fmt chunks' fields) in a new file.
// It fails with ErrMismatch, and with ErrNoAudio when a part has no data chunk worth the name.
func JoinWAV(parts ...[]byte) ([]byte, error) {
	if len(parts) == 0 {
		return nil, ErrNoAudio
	}
	var first wavFile
	sounds := make([][]byte, 0, len(parts))
	for i, part := range parts {
		w, err := parseWAV(part)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		if w.dataSize == 0 {
			return nil, fmt.Errorf("part %d: %w", i+1, ErrNoAudio)
		}
		if i == 0 {
			first = w
		}
		if !w.sameFormat(first) {
			return nil, fmt.Errorf("%w: part %d is not like part 1", ErrMismatch, i+1)
		}
		sounds = append(sounds, w.sound(part))
	}
	return buildWAV(first.format, sounds...)
}

func (w wavFile) sound(data []byte) []byte { return data[w.dataAt : w.dataAt+w.dataSize] }

func (w wavFile) sameFormat(o wavFile) bool {
	return w.code == o.code && w.channels == o.channels && w.rate == o.rate && w.bits == o.bits &&
		w.blockAlign == o.blockAlign && w.byteRate == o.byteRate
}

// EncodeWAV wraps 16-bit little-endian PCM, channels interleaved. Trailing bytes that make
// no whole sample frame are left out. rate and channels must be positive.
func EncodeWAV(pcm []byte, rate, channels int) ([]byte, error) {
	const bits = 16
	if rate <= 0 || rate > maxRate || channels <= 0 || channels > maxChannels {
		return nil, fmt.Errorf("%w: %d channels at %d Hz", ErrFormat, channels, rate)
	}
	block := channels * bits / 8
	le := binary.LittleEndian
	format := le.AppendUint16(nil, codePCM)
	format = le.AppendUint16(format, uint16(channels))
	format = le.AppendUint32(format, uint32(rate))
	format = le.AppendUint32(format, uint32(rate*block))
	format = le.AppendUint16(format, uint16(block))
	format = le.AppendUint16(format, bits)
	return buildWAV(format, pcm[:len(pcm)-len(pcm)%block])
}

// buildWAV writes a file of two chunks.
func buildWAV(format []byte, sounds ...[]byte) ([]byte, error) {
	var size int64
	for _, s := range sounds {
		size += int64(len(s))
	}
	le := binary.LittleEndian
	total := int64(riffHeader-chunkHeader) + chunkHeader + even(int64(len(format))) + chunkHeader + even(size)
	if total > math.MaxUint32 {
		return nil, ErrTooLarge
	}
	out := make([]byte, 0, total+chunkHeader)
	out = le.AppendUint32(append(out, "RIFF"...), uint32(total))
	out = le.AppendUint32(append(out, "WAVEfmt "...), uint32(len(format)))
	out = pad(append(out, format...), len(format))
	out = le.AppendUint32(append(out, "data"...), uint32(size))
	for _, sound := range sounds {
		out = append(out, sound...)
	}
	return pad(out, int(size&1)), nil
}

func even(n int64) int64 { return n + n&1 }

// pad adds the byte that follows a chunk of odd length.
func pad(out []byte, length int) []byte {
	if length&1 == 1 {
		return append(out, 0)
	}
	return out
}
