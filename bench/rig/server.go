package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// CreateAdmin makes an administrator with the command an operator uses. The
// arguments say where the server keeps its accounts.
func CreateAdmin(ctx context.Context, binary, dir string, admin Account, args ...string) error {
	command := exec.CommandContext(ctx, binary, append([]string{"admin", "create", "--email", admin.Email}, args...)...)
	command.Dir, command.Env = dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir}
	command.Stdin = strings.NewReader(admin.Password + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("admin create: %w: %s", err, out)
	}
	return nil
}
