package speech

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// errOutputTooLarge says that a program wrote more than it may.
var errOutputTooLarge = errors.New("the program wrote too much")

// programs runs external programs, only so many at once.
type programs struct{ slots chan struct{} }

func newPrograms() *programs {
	return &programs{slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// run starts the program at path with exactly these arguments, no shell in
// between, gives it input and returns at most limit bytes of what it writes.
// When ctx ends the program is killed and the context's error returned. The
// start of its error output comes with a failure, for those who know how to
// read it; it may quote the input and must not be passed on.
func (p *programs) run(ctx context.Context, limit int, input io.Reader, path string, args ...string) (output []byte, complaint string, err error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	var stdout, stderr bounded
	stdout.left, stderr.left, stderr.discard = limit, 4<<10, true
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin, command.Stdout, command.Stderr = input, &stdout, &stderr
	command.Env = programEnvironment()
	command.WaitDelay = 2 * time.Second
	err = command.Run()
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case stdout.overflow:
		return nil, "", errOutputTooLarge
	case err != nil:
		return nil, stderr.data.String(), err
	}
	return stdout.data.Bytes(), "", nil
}

// programEnvironment keeps keys that are set for this process from others.
func programEnvironment() []string {
	environment := []string{"LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "ESPEAK_DATA_PATH", "LD_LIBRARY_PATH"} {
		if value, set := os.LookupEnv(name); set {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// bounded keeps what is written to it up to a limit, and then fails, or drops
// the rest.
type bounded struct {
	data     bytes.Buffer
	left     int
	discard  bool
	overflow bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) <= b.left {
		b.left -= len(p)
		return b.data.Write(p)
	}
	b.data.Write(p[:b.left])
	b.left, b.overflow = 0, true
	if b.discard {
		return len(p), nil
	}
	return 0, errOutputTooLarge
}

// findProgram returns the absolute path of the first program that is installed,
// or "".
func findProgram(names ...string) string {
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil && strings.HasPrefix(path, "/") {
			return path
		}
	}
	return ""
}
