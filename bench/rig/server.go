package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CopyBinary copies the server into dir and returns its path there, so that a
// build that happens meanwhile does not change what is measured.
func CopyBinary(from, dir string) (string, error) {
	source, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer func() { _ = source.Close() }()
	to := filepath.Join(dir, "bench-server")
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(target, source)
	return to, errors.Join(err, target.Close())
}

// limits are the names of every request limit; all are switched off, because
// they would be what is measured.
var limits = []string{
	"AUTH_LOGIN", "AUTH_REGISTER", "IMAGE_GENERATE", "IMAGE_GENERATE_ANONYMOUS",
	"SPEECH_GENERATE", "SPEECH_GENERATE_ANONYMOUS", "CHAT_MESSAGE", "ADMIN_ALL",
}

// WithoutLimits returns the settings that switch every request limit off.
func WithoutLimits() []string {
	var env []string
	for _, name := range limits {
		env = append(env, "RATE_LIMITS_"+name+"=off")
	}
	return env
}

// Server is an llmhist binary and how it is run.
type Server struct {
	Binary string
	Dir    string   // where it is started and logs to
	Env    []string // its settings, and nothing else of the operator's shell
}

// CreateAdmin makes an administrator with the command an operator uses.
func (s Server) CreateAdmin(ctx context.Context, admin Account) error {
	command := exec.CommandContext(ctx, s.Binary, "admin", "create", "--email", admin.Email)
	command.Dir, command.Env = s.Dir, environment(s.Dir, s.Env)
	command.Stdin = strings.NewReader(admin.Password + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("admin create: %w: %s", err, out)
	}
	return nil
}

// Start starts the server on a free port and returns when /readyz first answers
// 200, and how long that took.
func (s Server) Start(ctx context.Context, args ...string) (*Child, time.Duration, error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	c, out, err := start(ctx, s.Dir, append(slices.Clone(s.Env), "PORT="+strconv.Itoa(port)), s.Binary, append([]string{"serve"}, args...)...)
	if err != nil {
		return nil, 0, err
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the child
	c.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := c.awaitReady(ctx); err != nil {
		c.Stop()
		return nil, 0, err
	}
	return c, time.Since(began), nil
}

// freePort returns a port of 127.0.0.1 that nothing listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}
