package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

// head makes a frame header from its fields.
type head struct {
	version, layer       uint32 // the two bits each
	bitIndex, rateIndex  uint32
	padding, mode, noCRC uint32
}

var (
	google = head{version: 2, layer: 1, bitIndex: 8, rateIndex: 1, mode: 3, noCRC: 1} // MPEG-2 III, 24 kHz, mono, 64 kbit/s: 192 bytes, 24 ms
	music  = head{version: 3, layer: 1, bitIndex: 9, rateIndex: 0, mode: 1, noCRC: 1} // MPEG-1 III, 44.1 kHz, joint stereo, 128 kbit/s: 417 bytes
)

func (h head) bytes() []byte {
	word := 0x7ff<<21 | h.version<<19 | h.layer<<17 | h.noCRC<<16 | h.bitIndex<<12 | h.rateIndex<<10 | h.padding<<9 | h.mode<<6
	return binary.BigEndian.AppendUint32(nil, word)
}

// frame is one frame whose contents cannot be taken for anything else.
func (h head) frame(t testing.TB) []byte {
	t.Helper()
	parsed, ok := parseHeader(h.bytes())
	if !ok {
		t.Fatalf("no header: % x", h.bytes())
	}
	return append(h.bytes(), bytes.Repeat([]byte{0x55}, parsed.size-headerSize)...)
}

func (h head) frames(t testing.TB, n int) []byte { return bytes.Repeat(h.frame(t), n) }

// xing is a silent first frame with all four optional fields, and a LAME tag unless delay and padding are 0.
func (h head) xing(t testing.TB, id string, frames, delay, padding int) []byte {
	f := h.frame(t)
	parsed, _ := parseHeader(f)
	at := headerSize + parsed.sideInfo()
	if parsed.crc {
		at += 2
	}
	copy(f[at:], id)
	binary.BigEndian.PutUint32(f[at+4:], 15)
	binary.BigEndian.PutUint32(f[at+8:], uint32(frames))
	if at += 120; delay+padding > 0 {
		copy(f[at:], "LAME3.100")
		f[at+21], f[at+22], f[at+23] = byte(delay>>4), byte(delay<<4|padding>>8), byte(padding)
	}
	return f
}

func id3v2(size int) []byte {
	tag := []byte{'I', 'D', '3', 4, 0, 0, byte(size >> 21), byte(size >> 14 & 127), byte(size >> 7 & 127), byte(size & 127)}
	return append(tag, bytes.Repeat(google.bytes(), size/4+1)[:size]...) // full of false syncs
}

func id3v1() []byte { return append([]byte("TAG"), bytes.Repeat([]byte{0xff, 0xf3}, 63)[:125]...) }

func ape(items []byte, withHeader bool) []byte {
	field := func(flags uint32) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("APETAGEX"), 2000)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(items)+apeTagSize))
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, flags)
		return append(b, make([]byte, 8)...)
	}
	tag := append(slices.Clone(items), field(0)...)
	if withHeader {
		tag = append(field(1<<29|1<<31), tag...)
	}
	return tag
}

func TestInspectMP3(t *testing.T) {
	ms := time.Millisecond
	garbage := []byte("<html>\xff\xf3\x84\x00 no frame follows this header \xff\xfb\x90 nor this</html>")
	vbr := slices.Concat(music.frames(t, 2), head{version: 3, layer: 1, bitIndex: 14, mode: 1, noCRC: 1}.frames(t, 2), head{version: 3, layer: 1, bitIndex: 1, padding: 1, mode: 1, noCRC: 1}.frames(t, 6))
	withCRC := music
	withCRC.noCRC = 0
	vbri := music.frame(t)
	copy(vbri[vbriOffset:], "VBRI")
	binary.BigEndian.PutUint32(vbri[vbriOffset+14:], 10)
	music10 := span(11520, 44100)
	for name, c := range map[string]struct {
		data   []byte
		frames int
		want   time.Duration
	}{
		"constant bit rate":            {google.frames(t, 100), 100, 2400 * ms},
		"one frame":                    {google.frame(t), 1, 24 * ms},
		"variable bit rate":            {vbr, 10, music10},
		"layer I":                      {head{version: 3, layer: 3, bitIndex: 12, rateIndex: 1, noCRC: 1}.frames(t, 125), 125, time.Second},
		"layer II":                     {head{version: 3, layer: 2, bitIndex: 10, rateIndex: 1, noCRC: 1}.frames(t, 125), 125, 3 * time.Second},
		"MPEG-2.5":                     {head{version: 0, layer: 1, bitIndex: 4, rateIndex: 2, mode: 3, noCRC: 1}.frames(t, 125), 125, 9 * time.Second},
		"LAME tag: 191 frames trimmed": {slices.Concat(music.xing(t, "Xing", 191, 576, 1030), music.frames(t, 191)), 191, span(191*1152-1606, 44100)},
		"LAME tag: MPEG-2, 4.517 s":    {slices.Concat(google.xing(t, "Info", 191, 576, 1030), google.frames(t, 191)), 191, span(191*576-1606, 24000)},
		"LAME tag after a checksum":    {slices.Concat(withCRC.xing(t, "Info", 10, 576, 576), withCRC.frames(t, 10)), 10, span(10368, 44100)},
		"Info without trim":            {slices.Concat(music.xing(t, "Info", 10, 0, 0), music.frames(t, 10)), 10, music10},
		"Info that counts itself":      {slices.Concat(music.xing(t, "Info", 11, 576, 576), music.frames(t, 10)), 10, span(10368, 44100)},
		"Info of a file cut off":       {slices.Concat(music.xing(t, "Info", 191, 576, 1030), music.frames(t, 10)), 10, music10},
		"VBRI":                         {slices.Concat(vbri, music.frames(t, 10)), 10, music10},
		"two files joined":             {bytes.Repeat(slices.Concat(id3v2(50), music.xing(t, "Xing", 5, 576, 576), music.frames(t, 5)), 2), 10, music10},
		"one frame and a tag, twice":   {bytes.Repeat(slices.Concat(music.frame(t), id3v2(50)), 2), 2, span(2304, 44100)},
		"only the first has a Xing":    {slices.Concat(music.xing(t, "Xing", 4, 576, 576), music.frames(t, 10)), 10, music10},
		"parts of two sample rates":    {slices.Concat(google.frames(t, 10), music.frames(t, 10)), 20, 240*ms + music10},
		"garbage between frames":       {slices.Concat(google.frames(t, 5), garbage, google.frames(t, 5)), 10, 240 * ms},
		"garbage before and after":     {slices.Concat(garbage, google.frames(t, 10), garbage), 10, 240 * ms},
		"last frame cut off":           {google.frames(t, 11)[:11*192-1], 10, 240 * ms},
		"tags around and within":       {slices.Concat(id3v2(1000), google.frames(t, 5), id3v2(7), ape(google.frames(t, 3), true), google.frames(t, 5), ape(google.frames(t, 3), true), id3v1()), 10, 240 * ms},
		"APE without header at end":    {slices.Concat(google.frames(t, 10), ape(google.frames(t, 3), false)), 10, 240 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Inspect(c.data, MP3)
			if err != nil || got.Frames != c.frames || got.Duration != c.want {
				t.Errorf("got %+v, %v, want %d frames, %v", got, err, c.frames, c.want)
			}
		})
	}
	t.Run("lasts 4.517 s as measured with LAME", func(t *testing.T) {
		d, err := Duration(slices.Concat(google.xing(t, "Info", 191, 576, 1030), google.frames(t, 191)), MP3)
		if err != nil || d.Round(ms) != 4517*ms {
			t.Errorf("got %v, %v", d, err)
		}
	})
	t.Run("tells rate, channels and bit rate", func(t *testing.T) {
		got, err := Inspect(google.frames(t, 10), MP3)
		if err != nil || got.SampleRate != 24000 || got.Channels != 1 || got.BitRate != 64000 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestInspectMP3Refuses(t *testing.T) {
	bad := func(change func(*head)) []byte {
		h := google
		change(&h)
		return bytes.Repeat(append(h.bytes(), make([]byte, 188)...), 10)
	}
	for name, data := range map[string][]byte{
		"nothing":               nil,
		"text":                  []byte("{\"error\": \"quota\"}"),
		"a tag alone":           id3v2(100),
		"a stream header alone": music.xing(t, "Xing", 100, 0, 0),
		"half a frame":          google.frame(t)[:100],
		"free format":           bad(func(h *head) { h.bitIndex = 0 }),
		"bad bit rate":          bad(func(h *head) { h.bitIndex = 15 }),
		"reserved sample rate":  bad(func(h *head) { h.rateIndex = 3 }),
		"reserved version":      bad(func(h *head) { h.version = 1 }),
		"reserved layer":        bad(func(h *head) { h.layer = 0 }),
		"all ones":              bytes.Repeat([]byte{0xff}, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Inspect(data, MP3); !errors.Is(err, ErrNoAudio) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestParseHeaderSizes(t *testing.T) {
	for name, c := range map[string]struct {
		head head
		size int
	}{
		"Google today":          {google, 192},
		"Google before":         {head{version: 2, layer: 1, bitIndex: 4, rateIndex: 1, mode: 3}, 96},
		"128 kbit/s at 44.1":    {music, 417},
		"the same padded":       {head{version: 3, layer: 1, bitIndex: 9, padding: 1}, 418},
		"layer I":               {head{version: 3, layer: 3, bitIndex: 14}, 484 / 4 * 4},
		"layer I padded":        {head{version: 3, layer: 3, bitIndex: 14, padding: 1}, 488},
		"layer II, 384 at 48":   {head{version: 3, layer: 2, bitIndex: 14, rateIndex: 1}, 1152},
		"MPEG-2 layer II":       {head{version: 2, layer: 2, bitIndex: 1, rateIndex: 1}, 48},
		"MPEG-2.5, 8 at 8 kHz":  {head{version: 0, layer: 1, bitIndex: 1, rateIndex: 2}, 72},
		"320 kbit/s at 32 kHz":  {head{version: 3, layer: 1, bitIndex: 14, rateIndex: 2}, 1440},
		"MPEG-2.5 at 11.025":    {head{version: 0, layer: 1, bitIndex: 8, rateIndex: 0}, 417},
		"MPEG-2 layer I padded": {head{version: 2, layer: 3, bitIndex: 14, rateIndex: 1, padding: 1}, 516},
	} {
		t.Run(name, func(t *testing.T) {
			if h, ok := parseHeader(c.head.bytes()); !ok || h.size != c.size {
				t.Errorf("got %+v, %v, want %d bytes", h, ok, c.size)
			}
		})
	}
}

func TestJoinMP3(t *testing.T) {
	a := slices.Concat(id3v2(20), google.xing(t, "Info", 3, 576, 576), google.frames(t, 3), id3v1())
	b := google.frames(t, 2)
	t.Run("keeps the sound alone", func(t *testing.T) {
		got, err := JoinMP3(a, b, a)
		if err != nil || !bytes.Equal(got, google.frames(t, 8)) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
	mono, slower := music, google
	mono.mode = 3
	slower.rateIndex = 0
	for name, c := range map[string]struct {
		parts [][]byte
		want  error
	}{
		"nothing":                 {nil, ErrNoAudio},
		"an empty part":           {[][]byte{b, nil}, ErrNoAudio},
		"another sample rate":     {[][]byte{b, slower.frames(t, 2)}, ErrMismatch},
		"another version":         {[][]byte{b, music.frames(t, 2)}, ErrMismatch},
		"another channel mode":    {[][]byte{music.frames(t, 2), mono.frames(t, 2)}, ErrMismatch},
		"two rates within a part": {[][]byte{slices.Concat(b, slower.frames(t, 2))}, ErrMismatch},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := JoinMP3(c.parts...); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	wav, err := EncodeWAV(make([]byte, 100), 8000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want Format
	}{
		"MP3":                       {google.frames(t, 3), MP3},
		"MP3, one frame":            {google.frame(t), MP3},
		"MP3, beginning of a frame": {google.frame(t)[:50], MP3},
		"MP3 with a tag":            {append(id3v2(100), google.frames(t, 3)...), MP3},
		"WAV":                       {wav, WAV},
		"HTML":                      {[]byte("<!doctype html>"), ""},
		"JSON":                      {[]byte(`{"error":1}`), ""},
		"AAC (ADTS)":                {[]byte{0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc}, ""},
		"a false sync":              {append(google.bytes(), make([]byte, 1000)...), ""},
		"AVI":                       {[]byte("RIFF\x00\x00\x00\x00AVI LIST"), ""},
		"UTF-16":                    {[]byte{0xff, 0xfe, 'a', 0}, ""},
		"nothing":                   {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := Sniff(c.data); got != c.want || ok != (c.want != "") {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func FuzzMP3(f *testing.F) {
	f.Add(google.frames(f, 3))
	f.Add(slices.Concat(id3v2(20), music.xing(f, "Xing", 2, 576, 1030), music.frames(f, 2), ape([]byte("x"), true), id3v1()))
	f.Add(slices.Concat(google.frames(f, 2), []byte("garbage"), music.frames(f, 2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		Sniff(data)
		info, err := Inspect(data, MP3)
		if err != nil {
			return
		}
		// The smallest frames are 72 ms in 72 bytes; layer II has 72 ms in 144 and layer I 48 in 128.
		if info.Frames <= 0 || info.Duration <= 0 || info.Duration > time.Duration(len(data))*2*time.Millisecond {
			t.Errorf("%d bytes: %+v", len(data), info)
		}
		joined, err := JoinMP3(data, data)
		if err != nil {
			return
		}
		twice, err := Inspect(joined, MP3)
		if err != nil || twice.Frames != 2*info.Frames {
			t.Errorf("joined with itself: %+v, %v, from %+v", twice, err, info)
		}
	})
}

func BenchmarkInspectMP3(b *testing.B) {
	for name, data := range map[string][]byte{
		"frames":  google.frames(b, 5000),
		"garbage": bytes.Repeat(google.bytes(), 240_000),
		"ones":    bytes.Repeat([]byte{0xff}, 960_000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Inspect(data, MP3); err != nil && !errors.Is(err, ErrNoAudio) {
					b.Fatal(err)
				}
			}
		})
	}
}
