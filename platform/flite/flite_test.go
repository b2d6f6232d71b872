package flite

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"llmhist/platform/audio"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(cacheDir()); err != nil {
			panic(err)
		}
		os.Exit(code)
	}))
}

// cacheDir is shared by the tests, which would otherwise compile the module again and again.
var cacheDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "flite-test-")
	if err != nil {
		panic(err)
	}
	return dir
})

// newEngine returns an engine with its voices, or ends the test: skipped on a machine
// where they were not fetched, failed in CI.
func newEngine(t *testing.T, o Options) *Engine {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = cacheDir()
	}
	e := New(o)
	if err := e.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, SPEECH IS NOT TESTED: ", err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
	})
	return e
}

// speak returns the length of the speech after checking the file.
func speak(t *testing.T, e *Engine, p Params) audio.Info {
	t.Helper()
	wav, err := e.Synthesize(t.Context(), p)
	if err != nil {
		t.Fatalf("synthesize %q: %v", p.Text, err)
	}
	info, err := audio.Inspect(wav, audio.WAV)
	if err != nil {
		t.Fatal(err)
	}
	if repaired, err := audio.RepairWAV(wav); err != nil || &repaired[0] != &wav[0] {
		t.Errorf("the header needs repair (%v)", err)
	}
	return info
}

func TestSynthesize(t *testing.T) {
	e := newEngine(t, Options{})
	for _, v := range e.Voices() {
		t.Run("voice "+v.ID+" speaks at its sample rate", func(t *testing.T) {
			info := speak(t, e, Params{Text: "The time is now, exactly five past one, in the morning.", Voice: v.ID})
			if info.SampleRate != v.SampleRate || info.Channels != 1 || info.BitsPerSample != 16 {
				t.Errorf("got %+v", info)
			}
			if info.Duration < 2*time.Second || info.Duration > 8*time.Second {
				t.Errorf("lasts %v", info.Duration)
			}
		})
	}
	t.Run("is the default voice, deterministically", func(t *testing.T) {
		a, err1 := e.Synthesize(t.Context(), Params{Text: "Same words."})
		b, err2 := e.Synthesize(t.Context(), Params{Text: "Same words.", Voice: DefaultVoice, Speed: 1})
		if err1 != nil || err2 != nil || string(a) != string(b) {
			t.Errorf("differs: %d and %d bytes, %v, %v", len(a), len(b), err1, err2)
		}
	})
	t.Run("doubles speed and halves it", func(t *testing.T) {
		text := "A sentence of middling length to measure."
		normal := speak(t, e, Params{Text: text, Voice: "kal16"}).Duration.Seconds()
		fast := speak(t, e, Params{Text: text, Voice: "kal16", Speed: 2}).Duration.Seconds()
		slow := speak(t, e, Params{Text: text, Voice: "kal16", Speed: 0.5}).Duration.Seconds()
		if math.Abs(normal/fast-2) > 0.4 || math.Abs(slow/normal-2) > 0.4 {
			t.Errorf("lasts %.2f s, %.2f s fast, %.2f s slow", normal, fast, slow)
		}
	})
	t.Run("speaks every sentence and paragraph", func(t *testing.T) {
		one := speak(t, e, Params{Text: "Here is one sentence.", Voice: "kal"}).Duration
		six := speak(t, e, Params{Text: strings.Repeat("Here is one sentence. ", 3) + "\n\n" + strings.Repeat("Here is one sentence. ", 3), Voice: "kal"}).Duration
		if six < 5*one || six > 7*one {
			t.Errorf("one lasts %v, six %v", one, six)
		}
	})
	t.Run("leaves out what is not English", func(t *testing.T) {
		speak(t, e, Params{Text: "Café, naïve — 你好 😀 \x00\x01\xff\xfe “quotes” \u200b\u202e done.", Voice: "kal"})
	})
	t.Run("speaks 5,000 characters", func(t *testing.T) {
		text := strings.Repeat("This text is as long as any text may be, and is spoken to the end. ", 75)[:5000]
		if d := speak(t, e, Params{Text: text, Voice: "kal"}).Duration; d < 3*time.Minute {
			t.Errorf("lasts only %v", d)
		}
	})
	t.Run("takes text that looks like a command line as text", func(t *testing.T) {
		speak(t, e, Params{Text: "-o /etc/passwd --help -voice nobody", Voice: "kal"})
	})
}

func TestSynthesizeRefuses(t *testing.T) {
	e := New(Options{})
	defer func() { _ = e.Close(context.Background()) }()
	for name, c := range map[string]struct {
		params Params
		want   error
	}{
		"an unknown voice":          {Params{Text: "Hi.", Voice: "nobody"}, ErrUnknownVoice},
		"a voice that is a path":    {Params{Text: "Hi.", Voice: "/text"}, ErrUnknownVoice},
		"too slow":                  {Params{Text: "Hi.", Speed: 0.2}, ErrSpeed},
		"too fast":                  {Params{Text: "Hi.", Speed: 4.1}, ErrSpeed},
		"negative speed":            {Params{Text: "Hi.", Speed: -1}, ErrSpeed},
		"no number":                 {Params{Text: "Hi.", Speed: math.NaN()}, ErrSpeed},
		"an empty text":             {Params{}, ErrNothingToSay},
		"punctuation only":          {Params{Text: "... !?"}, ErrNothingToSay},
		"a text in another script":  {Params{Text: "你好"}, ErrNothingToSay},
		"a text beyond all measure": {Params{Text: strings.Repeat("é", MaxText+1)}, ErrTextTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := e.Synthesize(t.Context(), c.params); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	e := newEngine(t, Options{})
	_, err := e.Synthesize(t.Context(), Params{Text: strings.Repeat("9", 5000), Voice: "kal16", Speed: MinSpeed})
	if !errors.Is(err, ErrAudioTooLong) {
		t.Errorf("got %v", err)
	}
}

// longText keeps the slowest voice busy for many seconds.
var longText = strings.Repeat("A sentence that takes its time to be spoken, word after word. ", 80)

func TestCancelEndsARunningSynthesis(t *testing.T) {
	e := newEngine(t, Options{Parallel: 1})
	speak(t, e, Params{Text: "Load.", Voice: "kal"})
	cause := errors.New("the client went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
	start := time.Now()
	_, err := e.Synthesize(ctx, Params{Text: longText})
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 2*time.Second { // milliseconds, but not on a busy machine
		t.Errorf("took %v to end", d)
	}
	speak(t, e, Params{Text: "The only slot is free again.", Voice: "kal"})
}

func TestWaitingForASlotHonoursTheContext(t *testing.T) {
	e := newEngine(t, Options{Parallel: 1})
	e.slots <- struct{}{}
	defer func() { <-e.slots }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := e.Synthesize(ctx, Params{Text: "Hi."}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	e := newEngine(t, Options{})
	if _, err := e.acquire(t.Context()); err != nil { // loads, so that the call below is running soon
		t.Fatal(err)
	}
	e.release()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Synthesize(context.Background(), Params{Text: longText})
		ended <- err
	}()
	for !e.inUse() {
		time.Sleep(time.Millisecond)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the running call got %v", err)
	}
	if e.isLoaded() {
		t.Error("still loaded")
	}
	if _, err := e.Synthesize(t.Context(), Params{Text: "Hi."}); !errors.Is(err, ErrClosed) {
		t.Errorf("a later call got %v", err)
	}
}

func TestConcurrentCallsGetTheirOwnSpeech(t *testing.T) {
	e := newEngine(t, Options{Parallel: 3})
	texts := []string{"One.", "Twenty two.", "Three hundred thirty three."}
	want := make([][]byte, len(texts))
	for i, text := range texts {
		var err error
		if want[i], err = e.Synthesize(t.Context(), Params{Text: text, Voice: "kal"}); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for n := range 12 {
		group.Go(func() {
			got, err := e.Synthesize(t.Context(), Params{Text: texts[n%3], Voice: "kal"})
			if err != nil || string(got) != string(want[n%3]) {
				t.Errorf("call %d: %d bytes, %v", n, len(got), err)
			}
		})
	}
	group.Wait()
}

func TestIdleEngineUnloads(t *testing.T) {
	newEngine(t, Options{}) // skips here, outside the bubble
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{CacheDir: cacheDir(), Idle: 5 * time.Minute})
		defer func() { _ = e.Close(context.Background()) }()
		say := func() {
			if _, err := e.Synthesize(t.Context(), Params{Text: "Hi.", Voice: "kal"}); err != nil {
				t.Fatal(err)
			}
		}
		say()
		time.Sleep(4 * time.Minute)
		say()
		time.Sleep(4 * time.Minute)
		if !e.isLoaded() {
			t.Error("unloaded 4 minutes after the last use")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if e.isLoaded() {
			t.Error("still loaded 6 minutes after the last use")
		}
		say()
		if !e.isLoaded() {
			t.Error("not loaded again")
		}
	})
}

func TestUnusableCacheCostsTimeOnly(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, Options{CacheDir: file + "/cache"})
	speak(t, e, Params{Text: "Hi.", Voice: "kal"})
}

func (e *Engine) isLoaded() bool {
	e.lock <- struct{}{}
	defer func() { <-e.lock }()
	return e.loaded != nil
}

func (e *Engine) inUse() bool {
	e.lock <- struct{}{}
	defer func() { <-e.lock }()
	return e.users > 0
}

func BenchmarkSynthesize(b *testing.B) {
	e := New(Options{CacheDir: cacheDir()})
	if err := e.Available(); err != nil {
		b.Skip(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 4)
	for _, voice := range []string{"slt", "kal16"} {
		b.Run(voice, func(b *testing.B) {
			var spoken time.Duration
			for b.Loop() {
				wav, err := e.Synthesize(b.Context(), Params{Text: text, Voice: voice})
				if err != nil {
					b.Fatal(err)
				}
				d, err := audio.Duration(wav, audio.WAV)
				if err != nil {
					b.Fatal(err)
				}
				spoken += d
			}
			b.ReportMetric(spoken.Seconds()/b.Elapsed().Seconds(), "x-realtime")
		})
	}
}
