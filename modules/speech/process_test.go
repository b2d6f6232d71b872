package speech

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// installScript puts a program of the test first on PATH.
func installScript(t *testing.T, name, body string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+"/usr/bin:/bin")
	return dir
}

// mustHave skips without the program, or fails where every test must run.
func mustHave(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("LLMHIST_TEST_ALL") != "" {
		t.Fatalf("%s is not installed, and LLMHIST_TEST_ALL requires it", program)
	}
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed", program)
	}
	return path
}

func TestProgramsAreBounded(t *testing.T) {
	t.Run("in output", func(t *testing.T) {
		dir := installScript(t, "chatty", "exec yes")
		_, _, err := newPrograms().run(t.Context(), 1<<20, strings.NewReader(""), filepath.Join(dir, "chatty"))
		if !errors.Is(err, errOutputTooLarge) {
			t.Errorf("%v", err)
		}
	})
	t.Run("in time", func(t *testing.T) {
		dir := installScript(t, "slow", "echo begun; exec sleep 600")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, _, err := newPrograms().run(ctx, 1<<20, strings.NewReader(""), filepath.Join(dir, "slow"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
	t.Run("in number", func(t *testing.T) {
		p := newPrograms()
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := p.run(ctx, 1, strings.NewReader(""), "/bin/true"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestTranscoding(t *testing.T) {
	for _, program := range []string{"lame", "ffmpeg"} {
		t.Run(program, func(t *testing.T) {
			path := mustHave(t, program)
			convert := &transcoder{programs: newPrograms()}
			if program == "lame" {
				convert.lame = path
			} else {
				convert.ffmpeg = path
			}
			for _, way := range []struct {
				from, to audio.Format
				sound    []byte
				want     time.Duration
			}{
				{audio.WAV, audio.MP3, wavSound(t, 2*time.Second), 2 * time.Second},
				{audio.MP3, audio.WAV, mp3Frames(100), 2400 * time.Millisecond},
			} {
				out, err := convert.convert(t.Context(), way.sound, way.from, way.to)
				if err != nil || !convert.can(way.from, way.to) {
					t.Fatal(err)
				}
				got, err := audio.Duration(out, way.to)
				if off := got - way.want; err != nil || off < -150*time.Millisecond || off > 150*time.Millisecond {
					t.Errorf("%s to %s: %v %v", way.from, way.to, got, err)
				}
			}
			if _, err := convert.convert(t.Context(), []byte("garbage"), audio.WAV, audio.MP3); fault.CodeOf(err) != "conversion_failed" {
				t.Errorf("garbage: %v", err)
			}
		})
	}
}

func TestTranscodedSpeechIsKeptAsAskedFor(t *testing.T) {
	b := newBench(t, newFake(t, "fake"))
	frames := filepath.Join(t.TempDir(), "frames")
	if err := os.WriteFile(frames, mp3Frames(10), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := installScript(t, "lame", "cat >/dev/null; cat '"+frames+"'")
	b.service.transcoder.lame = filepath.Join(dir, "lame")
	server := testkit.Serve(t, b.Mount)
	got := server.Do("POST", "/speech/generate", testkit.Nobody, map[string]any{"text": "x", "format": "mp3"}).JSON(t)
	if key, _ := got["s3_key"].(string); got["format"] != "mp3" || got["duration_seconds"] != 0.24 || !strings.HasSuffix(key, "/output.mp3") {
		t.Errorf("%v", got)
	}
}
