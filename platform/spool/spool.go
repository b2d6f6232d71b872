// Package spool collects texts that may become long while requests are under
// way: what does not fit into a small buffer waits in a file without a name, so
// that a thousand long answers at once need no gigabyte.
package spool

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"llmhist/platform/fault"
)

// bufferSize is how much of a text is held in memory, in bytes.
const bufferSize = 32 << 10

// Text is a text under construction. Its zero value is empty and has its file,
// once it needs one, in the system's directory for temporary files. Close it.
// It is used by one goroutine at a time.
type Text struct {
	Dir string // of the file; "" = the system's for temporary files

	buffer []byte
	file   *os.File
	filed  int64
}

// Fault gives a trouble with the directory for temporary files its kind:
// OutOfSpace or Unavailable.
func Fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.OutOfSpace, "storage_full", "The directory for temporary files has no space left. Free some disk space and try again.")
	}
	return fault.Wrap(err, fault.Unavailable, "storage_unavailable", "The directory for temporary files cannot be used right now. Try again shortly.")
}

// WriteString adds to the text. An error is of the kinds of Fault, and says that
// the text is as it was before.
func (t *Text) WriteString(s string) error { return Fault(t.add(s)) }

func (t *Text) add(s string) error {
	if len(t.buffer)+len(s) > bufferSize {
		if err := t.flush(); err != nil {
			return err
		}
	}
	if len(s) <= bufferSize {
		t.buffer = append(t.buffer, s...)
		return nil
	}
	if err := t.open(); err != nil {
		return err
	}
	n, err := t.file.WriteAt([]byte(s), t.filed)
	if err == nil {
		t.filed += int64(n)
	}
	return err
}

func (t *Text) flush() error {
	if len(t.buffer) == 0 {
		return nil
	}
	if err := t.open(); err != nil {
		return err
	}
	n, err := t.file.WriteAt(t.buffer, t.filed)
	if err != nil {
		return err
	}
	t.filed += int64(n)
	t.buffer = t.buffer[:0]
	return nil
}

// open makes the file. Where the system allows it the file has no name from here
// on, so that a crash leaves nothing; Close removes it elsewhere.
func (t *Text) open() error {
	if t.file != nil {
		return nil
	}
	file, err := os.CreateTemp(t.Dir, "spool-*")
	if err != nil {
		return err
	}
	_ = os.Remove(file.Name())
	t.file = file
	return nil
}

// Len returns the length of the text in bytes.
func (t *Text) Len() int { return int(t.filed) + len(t.buffer) }

// Long reports whether the text needs more memory than it holds.
func (t *Text) Long() bool { return t.file != nil }

// Read returns the text. An error is of the kinds of Fault.
func (t *Text) Read() (string, error) {
	if t.file == nil {
		return string(t.buffer), nil
	}
	var whole strings.Builder
	whole.Grow(t.Len())
	if _, err := io.Copy(&whole, io.NewSectionReader(t.file, 0, t.filed)); err != nil {
		return "", Fault(err)
	}
	whole.Write(t.buffer)
	return whole.String(), nil
}

// Close gives up the text and its file. It may be called more than once.
func (t *Text) Close() error {
	t.buffer, t.filed = nil, 0
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	_ = os.Remove(t.file.Name())
	t.file = nil
	return err
}
