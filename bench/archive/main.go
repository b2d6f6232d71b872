// Command archive measures backup and restore on this machine:
//
//	go run ./bench/archive -binary bin/llmhist -images 2000 -bytes 250000 -messages 100000
//
// It makes a set of that size, restores it into an empty data directory, backs
// that up in every form, and verifies a backup, with the real program. The
// directory it works in is removed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// size is how much there is to move.
type size struct{ images, bytes, messages int }

func measure(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("archive", flag.ContinueOnError)
	binary := flags.String("binary", "bin/llmhist", "the program to measure")
	var s size
	flags.IntVar(&s.images, "images", 2000, "images")
	flags.IntVar(&s.bytes, "bytes", 250_000, "bytes of each picture")
	flags.IntVar(&s.messages, "messages", 100_000, "chat messages, an even number")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "llmhist-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	set := filepath.Join(dir, "set.tar")
	if err := makeSet(set, s); err != nil {
		return err
	}
	data := "DATA_DIR=" + filepath.Join(dir, "data")
	fmt.Printf("%d images of %d bytes, %d messages\n", s.images, s.bytes, s.messages)
	for _, step := range [][]string{
		{"restore", set}, {"backup", filepath.Join(dir, "tree")}, {"backup", filepath.Join(dir, "one.tar")},
		{"backup", filepath.Join(dir, "one.tar.gz")}, {"restore", "--verify", filepath.Join(dir, "one.tar")},
	} {
		command := exec.CommandContext(ctx, *binary, step...)
		command.Env = append(os.Environ(), data)
		began := time.Now()
		out, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w: %s", step, err, out)
		}
		took := time.Since(began).Seconds()
		memory := command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / 1024
		name := strings.Join(step[:len(step)-1], " ") + " " + filepath.Base(step[len(step)-1])
		fmt.Printf("%-28s %7.2f s  %8.1f MB/s  %8.0f rows/s  %4d MiB resident at most\n", name, took,
			float64(s.images*s.bytes)/1e6/took, float64(s.images+s.messages)/took, memory)
	}
	return nil
}

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func makeSet(path string, s size) error {
	w, err := archive.Create(path)
	if err != nil {
		return err
	}
	user := map[string]any{"id": 1, "email": "bench@example.com", "password_hash": "x", "role": "user", "created_at": begin, "updated_at": begin}
	if err := errors.Join(w.Stage().Write("auth.users", user), w.Stage().Write("auth.sequence", map[string]any{"last_user_id": 1})); err != nil {
		return err
	}
	if err := addImages(w, s); err != nil {
		return err
	}
	if err := addMessages(w, s); err != nil {
		return err
	}
	_, _, err = w.Finish(archive.Manifest{Product: "llmhist", Version: "bench", Schema: 1},
		[]string{"auth.users", "auth.sequence", "image.images", "chat.sessions", "chat.messages"})
	return err
}

func addImages(w *archive.Writer, s size) error {
	noise := make([]byte, s.bytes+s.images)
	for i := range noise {
		noise[i] = byte(rand.Uint32()) // as pictures, it does not shrink
	}
	var index bytes.Buffer
	for i := range s.images {
		id := uid.New(begin.Add(time.Duration(i) * time.Millisecond))
		media := archive.BytesContent(noise[i : i+s.bytes])
		document := archive.BytesContent(bytes.Repeat([]byte("{}"), 300))
		key := history.MediaKey(id, "image/original.png")
		err := errors.Join(
			w.AddObject(archive.Object{Bucket: "image", Key: key}, media),
			w.AddObject(archive.Object{Bucket: "image", Key: history.InputKey(id)}, document),
			w.AddObject(archive.Object{Bucket: "image", Key: history.RecordKey(id)}, document),
			w.Stage().Write("image.images", map[string]any{"id": id, "user_id": 1, "prompt": "a lighthouse", "size": "512x512", "status": "completed",
				"s3_key": key, "sha256": media.SHA256, "file_size_bytes": media.Size, "created_at": begin, "finished_at": begin}))
		if err != nil {
			return err
		}
		line, err := history.IndexLine(id)
		if err != nil {
			return err
		}
		index.Write(append(line, '\n'))
	}
	return w.AddObject(archive.Object{Bucket: "image", Key: history.IndexKeyOf("image", 1, begin)}, archive.BytesContent(index.Bytes()))
}

func addMessages(w *archive.Writer, s size) error {
	const perSession = 20
	text := strings.Repeat("some words of an answer ", 20)
	for first := 0; first < s.messages; first += perSession {
		session := uid.New(begin.Add(time.Duration(first) * time.Millisecond))
		count := min(perSession, s.messages-first)
		err := w.Stage().Write("chat.sessions", map[string]any{"id": session, "user_id": 1, "title": "a talk", "last_position": count,
			"message_count": count, "created_at": begin, "updated_at": begin})
		for i := range count {
			role := []string{"user", "assistant"}[i%2]
			err = errors.Join(err, w.Stage().Write("chat.messages", map[string]any{"id": uid.New(begin), "session_id": session, "user_id": 1,
				"position": i + 1, "role": role, "content": text, "status": "completed", "created_at": begin, "finished_at": begin}))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
