// Package flite speaks English with CMU Flite, compiled to WASI and run inside this process.
//
// The compiled module is embedded when assets/ was filled before the build (see fetch.mjs).
// It is loaded on first use and let go of after an idle period, so that a process
// which does not speak pays nothing for it.
//
// Nothing touches the disk but the cache of compiled machine code: text and sound pass through an
// in-memory file system that holds exactly two files.
package flite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"llmhist/platform/audio"
)

// What Synthesize, Available and Close answer with; compare with errors.Is.
var (
	// ErrUnavailable says that the voices were not built into this binary.
	ErrUnavailable = errors.New("flite: the voices were not built in; run `node platform/flite/fetch.mjs` and build again")
	// ErrUnknownVoice says that no voice of Voices has the id asked for.
	ErrUnknownVoice = errors.New("flite: unknown voice")
	// ErrSpeed says that the speed is outside MinSpeed…MaxSpeed.
	ErrSpeed = errors.New("flite: speed out of range")
	// ErrTextTooLong says that the text has more than MaxText characters.
	ErrTextTooLong = errors.New("flite: text too long")
	// ErrNothingToSay says that no character of the text can be spoken in English.
	ErrNothingToSay = errors.New("flite: the text has nothing to say in English")
	// ErrAudioTooLong says that the speech would exceed the output limit.
	ErrAudioTooLong = errors.New("flite: the speech is too long")
	// ErrClosed says that the engine was closed.
	ErrClosed = errors.New("flite: engine closed")
)

// Limits of one synthesis.
const (
	MinSpeed = 0.25
	MaxSpeed = 4.0
	// MaxText is in characters.
	MaxText = 10_000
	// MaxAudio is in bytes of WAV: over 17 minutes at 16 kHz.
	MaxAudio = 32 << 20

	wavHeader = 44
)

// DefaultIdle is how long the loaded module stays in memory without use.
const DefaultIdle = 5 * time.Minute

// Options of New. The zero value is usable.
type Options struct {
	// CacheDir keeps the compiled machine code between processes. It is executed as it is,
	// so nobody else may write there. Empty, or unusable: compile at every load.
	CacheDir string
	// Parallel bounds the syntheses that run at once; more wait. Default: the number of usable CPUs.
	Parallel int
	// Idle is the time without use after which the module leaves memory. Default: DefaultIdle.
	Idle time.Duration
}

// Engine turns text into speech. Its methods may be called concurrently.
type Engine struct {
	cacheDir string
	idle     time.Duration
	slots    chan struct{}
	lifetime context.Context // ended by end, in Close: with it ends what runs and what waits
	end      context.CancelFunc

	// lock is a mutex that can be waited for under a context; it guards the fields below.
	lock    chan struct{}
	loaded  *program
	users   int
	timer   *time.Timer
	lastUse time.Time
	closed  bool

	running sync.WaitGroup // calls that got past the closed check; added to under lock
}

// Params of one synthesis.
type Params struct {
	// Text is any UTF-8 text of at most MaxText characters. What English cannot say is left out.
	Text string
	// Voice is the id of one of Voices; empty means DefaultVoice.
	Voice string
	// Speed is relative to the voice's natural one, MinSpeed…MaxSpeed; 0 means 1.
	Speed float64
}

// New returns an engine that has loaded nothing yet. Close it.
func New(o Options) *Engine {
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	lifetime, end := context.WithCancel(context.Background())
	return &Engine{
		cacheDir: o.CacheDir,
		idle:     o.Idle,
		slots:    make(chan struct{}, o.Parallel),
		lifetime: lifetime,
		end:      end,
		lock:     make(chan struct{}, 1),
	}
}

// Available returns nil when the voices are built in, ErrUnavailable otherwise.
func (e *Engine) Available() error {
	if !embedded() {
		return ErrUnavailable
	}
	return nil
}

// Synthesize returns p.Text spoken, as mono 16-bit WAV at the voice's sample rate.
// A cancelled ctx, or Close, ends it within milliseconds.
func (e *Engine) Synthesize(ctx context.Context, p Params) ([]byte, error) {
	voice, text, err := p.check()
	if err != nil {
		return nil, err
	}
	if err := e.Available(); err != nil {
		return nil, err
	}
	ctx, cancel := e.bind(ctx)
	defer cancel()
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	prog, err := e.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer e.release()
	wav, err := prog.speak(ctx, request{text: text, voice: voice.ID, stretch: 1 / p.speed()})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return checkSound(wav)
}

// Close ends what runs, waits for it as long as ctx allows, and frees the module.
// Calling it again is harmless.
func (e *Engine) Close(ctx context.Context) error {
	e.end()
	e.shut()
	ended := make(chan struct{})
	go func() { // ends when the last synthesis has, which end makes prompt
		e.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err() // the last release frees the module
	}
	return nil
}

// bind makes Close cancel ctx too. The returned func frees what that takes.
func (e *Engine) bind(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(e.lifetime, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// check returns the voice and the prepared text of p.
func (p Params) check() (Voice, string, error) {
	voice, ok := findVoice(p.Voice)
	if !ok {
		return Voice{}, "", fmt.Errorf("%w: %q", ErrUnknownVoice, p.Voice)
	}
	if speed := p.speed(); !(speed >= MinSpeed && speed <= MaxSpeed) { // refuses NaN too
		return Voice{}, "", fmt.Errorf("%w: %v is not within %v and %v", ErrSpeed, p.Speed, MinSpeed, MaxSpeed)
	}
	if n := utf8.RuneCountInString(p.Text); n > MaxText {
		return Voice{}, "", fmt.Errorf("%w: %d characters, at most %d", ErrTextTooLong, n, MaxText)
	}
	text, ok := prepareText(p.Text)
	if !ok {
		return Voice{}, "", ErrNothingToSay
	}
	return voice, text, nil
}

func (p Params) speed() float64 {
	if p.Speed == 0 {
		return 1
	}
	return p.Speed
}

// checkSound refuses a file that is no WAV, and one without sound in it:
// Flite writes an empty one when it finds nothing to say.
func checkSound(wav []byte) ([]byte, error) {
	if len(wav) <= wavHeader {
		return nil, ErrNothingToSay
	}
	if _, err := audio.Inspect(wav, audio.WAV); err != nil {
		return nil, fmt.Errorf("flite: wrote no sound: %w", err)
	}
	return wav, nil
}
