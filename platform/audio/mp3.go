package audio

import (
	"fmt"
	"time"
)

// startsLikeMP3 wants a tag, or a frame followed by another. Where the data ends before the next frame
// a header alone has to do, in Layer III only: the byte order mark of UTF-16 reads as one of Layer I.
func startsLikeMP3(data []byte) bool {
	if len(data) > 3 && string(data[:3]) == "ID3" {
		return tagSize(data) > 0
	}
	h, ok := parseHeader(data)
	if !ok {
		return false
	}
	if h.size+headerSize > len(data) {
		return h.layer == 3
	}
	next, ok := parseHeader(data[h.size:])
	return ok && h.compatible(next)
}

// inspectMP3 always walks the whole file: a stream header is believed only where it agrees with
// what is there, because files joined from parts or cut off carry one that is wrong.
func inspectMP3(data []byte) (Info, error) {
	info := Info{Format: MP3}
	samples := map[int]int64{} // by rate: joined parts may differ
	var told []streamHeader
	var size int64
	w := newWalk(data)
	for f, ok := w.next(); ok; f, ok = w.next() {
		if f.stream != nil {
			told = append(told[:min(len(told), 1)], *f.stream) // two are as good as many
			continue
		}
		if info.Frames == 0 {
			info.SampleRate, info.Channels = f.header.rate, f.header.channels()
		}
		info.Frames++
		samples[f.header.rate] += int64(f.header.samples)
		size += int64(len(f.data))
	}
	if info.Frames == 0 {
		return Info{}, fmt.Errorf("%w: no MPEG audio frame found", ErrNoAudio)
	}
	for rate, n := range samples {
		info.Duration += span(n, rate)
	}
	info.BitRate = bitRate(size, info.Duration)
	if len(samples) == 1 && len(told) == 1 {
		info.Duration = trimmed(info, told[0], samples[info.SampleRate])
	}
	return info, nil
}

// trimmed takes the encoder's delay and padding off. Some encoders count the silent frame, too.
func trimmed(info Info, s streamHeader, samples int64) time.Duration {
	agrees := s.hasFrames && (int(s.frames) == info.Frames || int(s.frames) == info.Frames+1)
	if !agrees || s.trim >= samples {
		return info.Duration
	}
	return span(samples-s.trim, info.SampleRate)
}

// JoinMP3 appends files to each other without re-encoding: the frames that hold sound, no tags and no
// stream headers. All frames must agree in version, layer and sample rate, all files in channel mode;
// otherwise ErrMismatch. A file without frames is ErrNoAudio.
//
// A frame may borrow bits from the ones before it, so the first moments of a part
// that was cut from a longer stream may be lost; parts encoded on their own join cleanly.
func JoinMP3(parts ...[]byte) ([]byte, error) {
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	joined := make([]byte, 0, total)
	var first frameHeader
	for i, part := range parts {
		header, out, err := appendFrames(joined, part)
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", i+1, err)
		}
		if i == 0 {
			first = header
		}
		if !header.compatible(first) || header.mode != first.mode {
			return nil, fmt.Errorf("%w: part %d is not like part 1", ErrMismatch, i+1)
		}
		joined = out
	}
	if len(joined) == 0 {
		return nil, ErrNoAudio
	}
	return joined, nil
}

// appendFrames adds the sound of one file to out and returns the header of its first frame.
func appendFrames(out, part []byte) (frameHeader, []byte, error) {
	var first frameHeader
	found := false
	w := newWalk(part)
	for f, ok := w.next(); ok; f, ok = w.next() {
		if f.stream != nil {
			continue
		}
		if !found {
			first, found = f.header, true
		}
		if !f.header.compatible(first) {
			return first, nil, fmt.Errorf("%w: frames within the file", ErrMismatch)
		}
		out = append(out, f.data...)
	}
	if !found {
		return first, nil, fmt.Errorf("%w: no MPEG audio frame found", ErrNoAudio)
	}
	return first, out, nil
}
