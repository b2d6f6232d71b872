package main

import (
	"errors"
	"os"
	"syscall"
)

// swapByTwo does with two renames what swap does with one.
func swapByTwo(from, to, aside string) error {
	if err := os.Rename(to, aside); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// deviceOf returns which file system a path is on.
func deviceOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("this system does not tell file systems apart")
	}
	return uint64(status.Dev), nil
}
