package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// chunk writes id, size and body, padded to even length.
func chunk(id string, body []byte) []byte { return sizedChunk(id, uint32(len(body)), body) }

func sizedChunk(id string, size uint32, body []byte) []byte {
	c := append(binary.LittleEndian.AppendUint32([]byte(id), size), body...)
	return pad(c, len(body))
}

func riff(chunks ...[]byte) []byte {
	body := append([]byte("WAVE"), slices.Concat(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func format(code, channels, rate, byteRate, block, bits int, extra ...byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, uint16(code))
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(byteRate))
	b = le.AppendUint16(b, uint16(block))
	b = le.AppendUint16(b, uint16(bits))
	return chunk("fmt ", append(b, extra...))
}

var speech = format(1, 1, 16000, 32000, 2, 16)

func TestInspectWAV(t *testing.T) {
	second := make([]byte, 32000)
	guid := append([]byte{22, 0, 16, 0, 4, 0, 0, 0, 1, 0}, make([]byte, 14)...)
	for name, c := range map[string]struct {
		data     []byte
		want     time.Duration
		streamed bool
	}{
		"plain":                        {riff(speech, chunk("data", second)), time.Second, false},
		"JUNK, LIST and odd chunks":    {riff(chunk("JUNK", make([]byte, 27)), speech, chunk("LIST", []byte("INFOx")), chunk("data", second), chunk("id3 ", second)), time.Second, false},
		"extensible":                   {riff(format(0xfffe, 1, 16000, 32000, 2, 16, guid...), chunk("data", second)), time.Second, false},
		"float":                        {riff(format(3, 2, 8000, 64000, 8, 32, 0, 0), chunk("data", second)), 500 * time.Millisecond, false},
		"byte rate of zero":            {riff(format(1, 1, 16000, 0, 0, 16), chunk("data", second)), time.Second, false},
		"byte rate that lies":          {riff(format(1, 1, 16000, 1, 2, 16), chunk("data", second)), time.Second, false},
		"24 bits":                      {riff(format(1, 1, 16000, 48000, 3, 24), chunk("data", second[:24000])), 500 * time.Millisecond, false},
		"mu-law":                       {riff(format(7, 1, 8000, 8000, 1, 8), chunk("data", second[:4000])), 500 * time.Millisecond, false},
		"espeak-ng to standard output": {slices.Concat(riff(speech), sizedChunk("data", 0x7ffff000, second)), time.Second, true},
		"size of all ones":             {riff(speech, sizedChunk("data", 0xffffffff, second)), time.Second, true},
		"size of 0x7FFFFFFF":           {riff(speech, sizedChunk("data", 0x7fffffff, second)), time.Second, true},
		"size of zero":                 {riff(speech, sizedChunk("data", 0, second)), time.Second, true},
		"cut off":                      {riff(speech, sizedChunk("data", 32000, second[:16000])), 500 * time.Millisecond, true},
		"part of a block":              {riff(speech, chunk("data", second[:16001])), 500 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Inspect(c.data, WAV)
			if err != nil || got.Duration != c.want || got.Streamed != c.streamed {
				t.Errorf("got %+v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestWAVRefuses(t *testing.T) {
	sound := chunk("data", make([]byte, 100))
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":              {nil, ErrFormat},
		"MP3":                  {google.frames(t, 3), ErrFormat},
		"AVI":                  {[]byte("RIFF\x04\x00\x00\x00AVI "), ErrFormat},
		"no chunks":            {riff(), ErrFormat},
		"no fmt":               {riff(sound), ErrFormat},
		"fmt after data":       {riff(sound, speech), ErrFormat},
		"short fmt":            {riff(chunk("fmt ", make([]byte, 14)), sound), ErrFormat},
		"fmt cut off":          {riff(sizedChunk("fmt ", 4000, make([]byte, 16))), ErrFormat},
		"no data":              {riff(speech), ErrFormat},
		"a chunk beyond all":   {riff(speech, sizedChunk("LIST", math.MaxUint32, nil), sound), ErrFormat},
		"no channels":          {riff(format(1, 0, 16000, 0, 0, 16), sound), ErrFormat},
		"no sample rate":       {riff(format(1, 1, 0, 0, 0, 16), sound), ErrFormat},
		"absurd sample rate":   {riff(format(1, 1, math.MaxInt32, 0, 0, 16), sound), ErrFormat},
		"no bits":              {riff(format(1, 1, 8000, 0, 0, 0), sound), ErrFormat},
		"an absurd byte rate":  {riff(format(85, 1, 8000, -1, 1, 0), sound), ErrFormat},
		"a byte rate of 2^32":  {riff(format(2, 1, 1<<19, 0, 1<<13, 4), chunk("data", make([]byte, 1<<13))), ErrFormat},
		"an empty data chunk":  {riff(speech, chunk("data", nil)), ErrNoAudio},
		"less than one sample": {riff(speech, chunk("data", []byte{1})), ErrNoAudio},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Inspect(c.data, WAV); !errors.Is(err, c.want) {
				t.Errorf("inspect: %v, want %v", err, c.want)
			}
			if _, err := RepairWAV(c.data); !errors.Is(err, c.want) {
				t.Errorf("repair: %v, want %v", err, c.want)
			}
			if _, err := JoinWAV(c.data); !errors.Is(err, c.want) {
				t.Errorf("join: %v, want %v", err, c.want)
			}
		})
	}
	t.Run("an unknown format", func(t *testing.T) {
		if _, err := Inspect(riff(speech, sound), "ogg"); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	})
}

func TestRepairWAV(t *testing.T) {
	pcm := bytes.Repeat([]byte{1, 2, 3, 4}, 100)
	right := riff(speech, chunk("data", pcm))
	t.Run("leaves a right file alone", func(t *testing.T) {
		whole := riff(chunk("JUNK", pcm), speech, chunk("data", pcm), chunk("LIST", pcm))
		got, err := RepairWAV(whole)
		if err != nil || &got[0] != &whole[0] || len(got) != len(whole) {
			t.Errorf("changed: %v", err)
		}
	})
	streamed := slices.Concat([]byte("RIFF\x24\xf0\xff\x7fWAVE"), speech, sizedChunk("data", 0x7ffff000, pcm))
	for name, data := range map[string][]byte{
		"espeak-ng to standard output": streamed,
		"sizes of zero":                riff(speech, sizedChunk("data", 0, pcm)),
		"half a sample at the end":     append(riff(speech, sizedChunk("data", 0xffffffff, pcm)), 9),
		"a wrong RIFF size":            append([]byte("RIFF\xff\xff\xff\xff"), right[8:]...),
	} {
		t.Run("writes true sizes for "+name, func(t *testing.T) {
			got, err := RepairWAV(data)
			if err != nil || !bytes.Equal(got, right) {
				t.Errorf("got % x, %v", got[:min(60, len(got))], err)
			}
		})
	}
}

func TestJoinWAV(t *testing.T) {
	a, b := bytes.Repeat([]byte{1, 2}, 10), bytes.Repeat([]byte{3, 4}, 20)
	t.Run("appends the sound", func(t *testing.T) {
		got, err := JoinWAV(riff(speech, chunk("data", a)), riff(chunk("JUNK", a), speech, sizedChunk("data", 0, b)))
		if want := riff(speech, chunk("data", slices.Concat(a, b))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got % x, %v", got, err)
		}
	})
	t.Run("refuses another format", func(t *testing.T) {
		_, err := JoinWAV(riff(speech, chunk("data", a)), riff(format(1, 1, 8000, 16000, 2, 16), chunk("data", b)))
		if !errors.Is(err, ErrMismatch) {
			t.Error(err)
		}
	})
	t.Run("refuses nothing", func(t *testing.T) {
		if _, err := JoinWAV(); !errors.Is(err, ErrNoAudio) {
			t.Error(err)
		}
	})
}

func TestEncodeWAV(t *testing.T) {
	t.Run("writes the canonical header", func(t *testing.T) {
		got, err := EncodeWAV([]byte{1, 2, 3, 4, 5}, 16000, 1)
		if err != nil || !bytes.Equal(got, riff(speech, chunk("data", []byte{1, 2, 3, 4}))) {
			t.Errorf("got % x, %v", got, err)
		}
	})
	for name, c := range map[string][2]int{"no rate": {0, 1}, "no channels": {8000, 0}, "negative rate": {-1, 1}} {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := EncodeWAV(nil, c[0], c[1]); !errors.Is(err, ErrFormat) {
				t.Error(err)
			}
		})
	}
}

func FuzzWAV(f *testing.F) {
	f.Add(riff(speech, chunk("data", make([]byte, 10))))
	f.Add(riff(chunk("JUNK", []byte{1}), format(0xfffe, 2, 48000, 0, 0, 24, make([]byte, 24)...), sizedChunk("data", 0x7ffff000, make([]byte, 13))))
	f.Add(riff(format(7, 1, 8000, 0, 0, 0), sizedChunk("data", 0, make([]byte, 13))))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := Inspect(data, WAV)
		if err != nil {
			return
		}
		if info.Duration < 0 || info.SampleRate <= 0 || info.Channels <= 0 {
			t.Errorf("%+v", info)
		}
		repaired, err := RepairWAV(data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Inspect(repaired, WAV)
		if err != nil || again.Streamed || again.Duration != info.Duration {
			t.Errorf("repaired: %+v, %v, from %+v", again, err, info)
		}
		joined, err := JoinWAV(data, data)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Inspect(joined, WAV)
		if diff := twice.Duration - 2*info.Duration; err != nil || diff < -1 || diff > 1 {
			t.Errorf("joined with itself: %+v, %v, from %+v", twice, err, info)
		}
	})
}
