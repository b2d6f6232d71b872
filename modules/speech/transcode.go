package speech

import (
	"bytes"
	"context"
	"fmt"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
)

// transcodeLimit bounds what a conversion may write.
const transcodeLimit = 128 << 20

// transcoder turns one audio format into another with a program that is
// installed: there is no MP3 encoder in Go worth shipping.
type transcoder struct {
	lame, ffmpeg string // absolute paths; "" = not installed
	programs     *programs
}

func (t *transcoder) can(from, to audio.Format) bool {
	known := from == audio.WAV && to == audio.MP3 || from == audio.MP3 && to == audio.WAV
	return known && (t.lame != "" || t.ffmpeg != "")
}

// convert returns sound in the format to. Both programs read a pipe and write
// one, so nothing is left on the disk.
func (t *transcoder) convert(ctx context.Context, sound []byte, from, to audio.Format) ([]byte, error) {
	path, args := t.command(from, to)
	out, _, err := t.programs.run(ctx, transcodeLimit, bytes.NewReader(sound), path, args...)
	if err == nil && to == audio.WAV {
		out, err = audio.RepairWAV(out) // neither knows the size when it writes the header
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fault.Wrap(err, fault.Unavailable, "conversion_failed",
			fmt.Sprintf("The sound was made but could not be converted to %s on this server. Leave format out to get %s.", to, from))
	}
	return out, nil
}

func (t *transcoder) command(from, to audio.Format) (path string, args []string) {
	switch {
	case t.lame != "" && to == audio.MP3:
		return t.lame, []string{"--quiet", "-t", "-b", "64", "-", "-"} // -t: no stream header, it could not be filled in
	case t.lame != "":
		return t.lame, []string{"--quiet", "--decode", "--mp3input", "-", "-"}
	case to == audio.MP3:
		return t.ffmpeg, []string{"-loglevel", "error", "-protocol_whitelist", "pipe", "-f", "wav", "-i", "pipe:0",
			"-codec:a", "libmp3lame", "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3", "pipe:1"}
	default:
		return t.ffmpeg, []string{"-loglevel", "error", "-protocol_whitelist", "pipe", "-f", string(from), "-i", "pipe:0", "-f", "wav", "pipe:1"}
	}
}
