package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// swap puts the directory from in the place of to, which becomes aside. At every
// moment there is a whole directory at to, where the file system can exchange
// two names.
func swap(from, to, aside string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return swapByTwo(from, to, aside)
	}
	if err != nil {
		return err
	}
	return os.Rename(from, aside)
}
