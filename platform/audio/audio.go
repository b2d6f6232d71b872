// Package audio reads, checks, joins and repairs MP3 and WAV files without decoding them.
//
// All work is linear in the input, whatever it holds.
package audio

import (
	"errors"
	"fmt"
	"time"
)

// Format is a container this package knows. Its value is the usual file extension.
type Format string

// The formats.
const (
	MP3 Format = "mp3"
	WAV Format = "wav"
)

// ContentType returns the registered media type (RFC 3003 for MP3).
func (f Format) ContentType() string {
	switch f {
	case MP3:
		return "audio/mpeg"
	case WAV:
		return "audio/wav"
	}
	return "application/octet-stream"
}

// What the functions of this package answer with; compare with errors.Is.
var (
	// ErrFormat says that the data is not of the format expected, or a variant that is not supported.
	ErrFormat = errors.New("audio: unexpected format")
	// ErrNoAudio says that the file is of its format but holds no sound.
	ErrNoAudio = errors.New("audio: no sound in the file")
	// ErrMismatch says that files cannot be joined because their parameters differ.
	ErrMismatch = errors.New("audio: parts differ in format")
	// ErrTooLarge says that a WAV would exceed its 32-bit sizes.
	ErrTooLarge = errors.New("audio: too large for a WAV file")
)

// Info describes a file.
type Info struct {
	Format     Format
	Duration   time.Duration
	SampleRate int // hertz; of the first frame for MP3
	Channels   int
	// BitRate is the average in bit/s over the sound itself.
	BitRate int
	// BitsPerSample is 0 for MP3.
	BitsPerSample int
	// Frames counts the MP3 frames that hold sound; 0 for WAV.
	Frames int
	// Streamed tells that a WAV header's data size was unknown when it was written, or wrong.
	// RepairWAV gives such a file its true sizes.
	Streamed bool
}

// Sniff recognises a file by its first bytes; a few kilobytes are enough.
// It is sure about the container, not about the rest of the file: that is Inspect's work.
func Sniff(data []byte) (Format, bool) {
	switch {
	case isWAV(data):
		return WAV, true
	case startsLikeMP3(data):
		return MP3, true
	}
	return "", false
}

// Inspect measures a complete file of the given format. It fails with ErrFormat or ErrNoAudio.
func Inspect(data []byte, format Format) (Info, error) {
	switch format {
	case MP3:
		return inspectMP3(data)
	case WAV:
		return inspectWAV(data)
	}
	return Info{}, fmt.Errorf("%w: %q is not a known format", ErrFormat, string(format))
}

// Duration is Inspect for those who want nothing else.
func Duration(data []byte, format Format) (time.Duration, error) {
	info, err := Inspect(data, format)
	return info.Duration, err
}

// span is n samples at rate, without overflow for anything that fits into memory.
func span(samples int64, rate int) time.Duration {
	seconds, rest := samples/int64(rate), samples%int64(rate)
	return time.Duration(seconds)*time.Second + time.Duration(rest)*time.Second/time.Duration(rate)
}

// bitRate is the average over d, rounded.
func bitRate(bytes int64, d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(float64(bytes)*8/d.Seconds() + 0.5)
}
