// Package rig is what measurements stand on: the servers they start, who signs
// in to them, and what the machine is and does meanwhile. bench/suite and
// bench/stores share it.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second // until a child must answer
	stopLimit  = 40 * time.Second // until it is killed: longer than it may drain
)

// Child is a server that was started for a measurement.
type Child struct {
	Address string // host:port
	First   string // first line of its output, when it was waited for

	command *exec.Cmd
	log     string // file of its standard error
}

// PID returns the number of the child's process.
func (c *Child) PID() int { return c.command.Process.Pid }

// start runs a program with exactly this environment in the directory dir, so
// that no setting of the operator's shell changes what is measured.
func start(ctx context.Context, dir string, env []string, program string, args ...string) (*Child, io.ReadCloser, error) {
	c := &Child{command: exec.CommandContext(ctx, program, args...), log: filepath.Join(dir, filepath.Base(program)+".log")}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own handle
	c.command.Dir, c.command.Env, c.command.Stderr = dir, environment(dir, env), log
	c.command.Cancel = func() error { return c.command.Process.Signal(syscall.SIGTERM) }
	c.command.WaitDelay = stopLimit
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return c, out, c.command.Start()
}

// environment keeps settings of the operator's shell from changing what is
// measured.
func environment(dir string, env []string) []string {
	return append([]string{"PATH=/usr/bin:/bin", "HOME=" + dir}, env...)
}

// StartTool runs a program that prints a line when it listens.
func StartTool(ctx context.Context, dir, program string, args ...string) (*Child, error) {
	c, out, err := start(ctx, dir, nil, program, args...)
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(startLimit, func() { _ = c.command.Process.Kill() })
	defer timer.Stop()
	if c.First, err = bufio.NewReader(io.LimitReader(out, 64<<10)).ReadString('\n'); err != nil {
		c.Stop()
		return nil, fmt.Errorf("%s did not start: %s", filepath.Base(program), c.LastWords())
	}
	return c, nil
}

// Stop ends the child as an operator would. It does nothing to one that never
// started or has ended.
func (c *Child) Stop() {
	if c == nil || c.command.ProcessState != nil {
		return
	}
	_ = c.command.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopLimit, func() { _ = c.command.Process.Kill() })
	defer timer.Stop()
	_ = c.command.Wait()
}

// LastWords returns the end of what the child logged.
func (c *Child) LastWords() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(data[max(0, len(data)-2000):]))
}

// Logged returns how often the child logged each message.
func (c *Child) Logged() map[string]int {
	counts := map[string]int{}
	data, err := os.ReadFile(c.log)
	if err != nil {
		return counts
	}
	for line := range bytes.Lines(data) {
		var record struct{ Level, Msg string }
		if json.Unmarshal(line, &record) != nil {
			record.Level, record.Msg = "output", "that is not a log record"
		}
		counts[strings.ToLower(record.Level)+" "+strconv.Quote(record.Msg)]++
	}
	return counts
}

func (c *Child) awaitReady(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		if err == nil && response.StatusCode == http.StatusOK {
			return nil
		}
		time.Sleep(time.Millisecond) // far below what is measured
	}
	return fmt.Errorf("the server was not ready in time: %s", c.LastWords())
}
