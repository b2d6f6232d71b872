// Package crash proves that no fault loses acknowledged work. It runs the real
// binary under writers over all modules, kills it or an engine under it at
// random moments, and holds what the next start shows against everything that
// was answered with success. The tests at the top of the tree run it for some
// cycles, bench/crashes for as many as one likes.
package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime is how long the binary may take to be ready: after a kill it has
// work to finish first.
const startTime = 30 * time.Second

// Process is the real binary, serving from a data directory that survives it.
type Process struct {
	URL     string
	Started time.Duration // from its start until it was ready

	command *exec.Cmd
	output  *tail
	ended   chan struct{} // closed when it has been waited for
	err     error         // what waiting for it returned
}

// Launch runs "serve" with the environment added to this process's own. It does
// not wait until the server is ready.
func Launch(binary string, env []string) (*Process, *bufio.Scanner, error) {
	p := &Process{command: exec.Command(binary, "serve"), output: &tail{}, ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), env...)
	p.command.Stderr = p.output
	p.command.SysProcAttr = child()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p.command.Stdout = write
	err = p.command.Start()
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, nil, err
	}
	go func() { p.err = p.command.Wait(); close(p.ended) }()
	return p, bufio.NewScanner(read), nil
}

// Start runs "serve" and returns when the server is ready.
func Start(binary string, env []string) (*Process, error) {
	began := time.Now()
	p, lines, err := Launch(binary, env)
	if err != nil {
		return nil, err
	}
	watch := time.AfterFunc(startTime, func() { p.Signal(syscall.SIGKILL) })
	defer watch.Stop()
	for lines.Scan() {
		if _, url, found := strings.Cut(lines.Text(), "is ready: "); found {
			p.URL, p.Started = url, time.Since(began)
			go func() { // ends with the process
				for lines.Scan() {
				}
			}()
			return p, nil
		}
	}
	<-p.ended
	return nil, fmt.Errorf("the server did not start within %s (%w):\n%s", startTime, errors.Join(p.err, lines.Err()), p.output)
}

// Signal sends a signal; a process that has ended takes none.
func (p *Process) Signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// Kill ends the process at once.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Stop ends the process gracefully and returns an error that holds the end of
// its log when it does not end by itself, or not with code 0.
func (p *Process) Stop(within time.Duration) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(within):
		p.Kill()
		return fmt.Errorf("the server did not stop within %s:\n%s", within, p.output)
	}
	if p.err != nil {
		return fmt.Errorf("a graceful stop ends with %w:\n%s", p.err, p.output)
	}
	return nil
}

// Ended reports whether the process is no more.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Log returns the first errors and the end of what the process wrote to its log.
func (p *Process) Log() string { return p.output.String() }

// maxTail bounds what is kept of a log.
const maxTail = 16 << 10

// maxErrors bounds how many lines of level error are kept besides.
const maxErrors = 20

// tail keeps the end of what is written to it, and the first errors.
type tail struct {
	mu     sync.Mutex
	data   []byte
	errors []string
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.errors) < maxErrors && bytes.Contains(p, []byte(`"level":"ERROR"`)) {
		t.errors = append(t.errors, string(p))
	}
	t.data = append(t.data, p...)
	if len(t.data) > maxTail {
		t.data = append([]byte(nil), t.data[len(t.data)-maxTail:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.errors, "") + "…\n" + string(t.data)
}

// checkData runs "check" of the binary, where it has that command, and returns
// what it found wrong, but for what expected says. ran is false for a binary
// without it.
func checkData(binary string, env []string, expected func(finding) bool) (ran bool, err error) {
	usage, err := exec.Command(binary, "help").CombinedOutput()
	if err != nil {
		return false, fmt.Errorf("help: %w: %s", err, usage)
	}
	if !strings.Contains(string(usage), "\n  check ") {
		return false, nil
	}
	command := exec.Command(binary, "check", "--json", "--grace=0s")
	command.Env = append(os.Environ(), env...)
	complaints := &tail{}
	command.Stderr = complaints
	out, failed := command.Output()
	var report struct {
		Findings []finding `json:"findings"`
		Found    int       `json:"found"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return true, fmt.Errorf("llmhist check: %w, %w:\n%s", failed, err, complaints)
	}
	unexpected := slices.DeleteFunc(slices.Clone(report.Findings), expected)
	if (failed != nil) != (report.Found > 0) || report.Found != len(report.Findings) || len(unexpected) > 0 {
		return true, fmt.Errorf("llmhist check: %w, %d found:\n%+v\n%s", failed, report.Found, unexpected, complaints)
	}
	return true, nil
}

// finding is a difference that "check" found.
type finding struct{ Code, Service, ID, Key, Detail string }

var _ io.Writer = (*tail)(nil)
