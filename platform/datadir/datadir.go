// Package datadir owns the directory of the embedded stores: one serving
// process at a time, and the installation's own secrets in files of mode 0600.
package datadir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"llmhist/platform/uid"
)

const lockName = "llmhist.lock"

// Lock is the right to serve from a data directory.
type Lock struct{ file *os.File }

// Create makes sure that dir exists and can be written.
func Create(dir string) error {
	if err := makeDurableDir(dir); err != nil {
		return fmt.Errorf("data directory %s cannot be created: %w", dir, reason(err))
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", dir, reason(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// makeDurableDir creates dir and what is missing above it, and syncs the parent
// of each: what is acknowledged later must not lose its place in a power cut.
func makeDurableDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if parent != dir {
		if err := makeDurableDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// ErrInUse says that another process serves from the data directory.
var ErrInUse = errors.New("is in use by another llmhist")

// Acquire takes the lock of dir. It ends with the process, however that ends.
func Acquire(dir string) (*Lock, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be locked: %w", dir, reason(err))
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := holderOf(file)
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s %w%s: stop that one, or give this one its own DATA_DIR", dir, ErrInUse, holder)
		}
		return nil, fmt.Errorf("data directory %s cannot be locked: %w", dir, err)
	}
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // only for the message above
	}
	return &Lock{file}, nil
}

func holderOf(file *os.File) string {
	data, err := io.ReadAll(io.LimitReader(file, 32))
	pid, parseErr := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || parseErr != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.file.Close() }

// Secret returns the installation's secret called name: 32 random bytes made
// once and kept in a file that only its owner can read.
func Secret(dir, name string) ([]byte, error) {
	const size = 32
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	switch {
	case err == nil && len(data) == size:
		return data, nil
	case err == nil:
		return nil, fmt.Errorf("%s is damaged: it must hold %d bytes. Restore it from a backup, or delete it to make a new one (links that were given out stop working)", path, size)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s cannot be read: %w", path, reason(err))
	}
	secret := make([]byte, size)
	_, _ = rand.Read(secret) // never fails
	return secret, writeDurably(path, secret)
}

// homeName holds what names the directory to the servers that share a database.
const homeName = "home.id"

// Home returns the id of the data directory, made once and kept in it. It must
// not be copied to the directory of another server.
func Home(dir string) (string, error) {
	path := filepath.Join(dir, homeName)
	data, err := os.ReadFile(path)
	id := strings.TrimSpace(string(data))
	switch {
	case err == nil && uid.Valid(id):
		return id, nil
	case err == nil:
		return "", fmt.Errorf("%s is damaged: delete it to make a new one", path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s cannot be read: %w", path, reason(err))
	}
	id = uid.New(uid.Now())
	return id, writeDurably(path, []byte(id+"\n"))
}

func writeDurably(path string, data []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, reason(err))
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, reason(err))
	}
	return nil
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// reason drops the path that the operating system repeats in its errors.
func reason(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}
