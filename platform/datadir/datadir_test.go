package datadir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneHolderAtATime(t *testing.T) {
	dir := t.TempDir()
	first, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another llmhist (process ") || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Fatalf("the second got %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Acquire(dir)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	_ = again.Release()
}

func TestASecretIsMadeOnceAndKeptPrivate(t *testing.T) {
	dir := t.TempDir()
	first, err := Secret(dir, "signing.key")
	if err != nil || len(first) != 32 {
		t.Fatal(first, err)
	}
	second, err := Secret(dir, "signing.key")
	if err != nil || !bytes.Equal(first, second) {
		t.Fatal("it changed", err)
	}
	info, err := os.Stat(filepath.Join(dir, "signing.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "signing.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Secret(dir, "signing.key"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("a damaged one: %v", err)
	}
}

func TestAnUnusableDirectoryIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("got %v", err)
	}
}
