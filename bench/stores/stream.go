package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"llmhist/bench/rig"
	"llmhist/platform/blob"
	"llmhist/platform/datadir"
	"llmhist/platform/logging"
)

// streamCommand makes this program a process that moves one object and reports
// its own memory, apart from what the measurement holds.
const streamCommand = "stream"

// streamed is the memory of a process that moved an object.
type streamed struct {
	Name   string
	Bytes  int64 // that were moved
	Memory rig.Memory
}

const (
	objectKey  = "requests/2026/01/01/stream/image/original.png"
	smallKey   = "requests/2026/01/01/stream/input.json"
	bucketName = "llmhist-image-dev"
)

// measureStreams moves the object through both kinds of bucket and over HTTP.
func measureStreams(ctx context.Context, o options, dir string, skip func(string)) ([]streamed, error) {
	list, err := streamApart(ctx, o, dir, "directory")
	if err != nil {
		return nil, err
	}
	if o.s3.endpoint == "" {
		skip("the object store, because TEST_S3_ENDPOINT names none; bench/stores.sh starts one where it can be built")
	} else {
		more, err := streamApart(ctx, o, dir, "S3")
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	more, err := measureDownloads(ctx, o, dir)
	return append(list, more...), err
}

// streamApart runs this program as another process.
func streamApart(ctx context.Context, o options, dir, kind string) ([]streamed, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, streamCommand, "-kind", kind, "-dir", dir, "-bytes", fmt.Sprint(o.object))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("stream through %s: %w", kind, err)
	}
	var list []streamed
	return list, json.Unmarshal(out, &list)
}

// streamObject is the other process. It prints what it measured as JSON.
func streamObject(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(streamCommand, flag.ContinueOnError)
	kind := flags.String("kind", "directory", "directory or S3")
	dir := flags.String("dir", "", "data directory")
	size := flags.Int64("bytes", 0, "of the object")
	if err := flags.Parse(args); err != nil {
		return err
	}
	bucket, err := openBucket(ctx, *kind, *dir)
	if err != nil {
		return err
	}
	s := streamer{bucket: bucket, name: *kind, dir: *dir, size: *size}
	if err := s.measure(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.list)
}

func openBucket(ctx context.Context, kind, dir string) (blob.Bucket, error) {
	if kind == "directory" {
		return blob.OpenDirectory(filepath.Join(dir, "objects"), bucketName, nil)
	}
	return blob.OpenS3(ctx, blob.S3Options{
		Endpoint: os.Getenv("TEST_S3_ENDPOINT"), AccessKey: os.Getenv("TEST_S3_ACCESS_KEY"),
		SecretKey: logging.Secret(os.Getenv("TEST_S3_SECRET_KEY")), Bucket: "bench-stream", TempDir: dir,
	})
}

// streamer moves one object in every way.
type streamer struct {
	bucket    blob.Bucket
	name, dir string
	size      int64
	sum       string // of the content
	list      []streamed
}

func (s *streamer) measure(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	file, err := s.file()
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		name  string
		bytes int64
		move  func() error
	}{
		{"put, length unknown", s.size, func() error { return s.put(ctx, io.LimitReader(noise(), s.size)) }},
		{"put from a file", s.size, func() error { return s.put(ctx, file) }},
		{"read whole", s.size, func() error { return s.read(ctx) }},
		{"read the last quarter", s.size / 4, func() error { return s.readPart(ctx) }},
	} {
		debug.FreeOSMemory()
		memory, err := rig.MeasureMemory(os.Getpid(), step.move)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		s.list = append(s.list, streamed{s.name + ", " + step.name, step.bytes, memory})
	}
	return nil
}

// noise returns content that is the same in every run and cannot be compressed.
func noise() io.Reader { return rand.NewChaCha8([32]byte{1}) }

// file makes a file of the content and takes its hash.
func (s *streamer) file() (*os.File, error) {
	file, err := os.CreateTemp(s.dir, "content-*")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), io.LimitReader(noise(), s.size))
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	s.sum = hex.EncodeToString(sum.Sum(nil))
	return file, err
}

// warmUp moves a small object, so that what every process needs once is there.
func (s *streamer) warmUp(ctx context.Context) error {
	if _, err := s.bucket.Put(ctx, smallKey, io.LimitReader(noise(), 2<<20), blob.PutOptions{}); err != nil {
		return err
	}
	_, err := blob.ReadAll(ctx, s.bucket, smallKey, 2<<20)
	return err
}

func (s *streamer) put(ctx context.Context, body io.Reader) error {
	object, err := s.bucket.Put(ctx, objectKey, body, blob.PutOptions{})
	if err == nil && (object.Size != s.size || object.SHA256 != s.sum) {
		err = errors.New("what was stored is not what was sent")
	}
	return err
}

func (s *streamer) read(ctx context.Context) error {
	reader, err := s.bucket.Open(ctx, objectKey)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, reader)
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != s.sum {
		err = errors.New("what was read is not what was sent")
	}
	return errors.Join(err, reader.Close())
}

func (s *streamer) readPart(ctx context.Context) error {
	reader, err := s.bucket.Open(ctx, objectKey)
	if err != nil {
		return err
	}
	if _, err := reader.Seek(s.size-s.size/4, io.SeekStart); err != nil {
		return errors.Join(err, reader.Close())
	}
	n, err := io.Copy(io.Discard, reader)
	if err == nil && n != s.size/4 {
		err = fmt.Errorf("%d bytes instead of %d", n, s.size/4)
	}
	return errors.Join(err, reader.Close())
}

// downloadsAtOnce is how many clients take the object at one time.
const downloadsAtOnce = 4

// measureDownloads takes the object, which streamApart left in the directory,
// from a server by its signed link. What has S3 is fetched from the store
// itself and costs the server nothing.
func measureDownloads(ctx context.Context, o options, dir string) ([]streamed, error) {
	server, _, err := rig.Server{Binary: o.binary, Dir: dir, Env: []string{"HOST=127.0.0.1", "DATA_DIR=" + dir, "LOG_LEVEL=warn"}}.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	secret, err := datadir.Secret(dir, "links.key")
	if err != nil {
		return nil, err
	}
	signer := blob.NewSigner(secret, func() string { return "http://" + server.Address }, time.Hour, time.Now)
	download := func(key string, from, want int64) error {
		return fetch(ctx, signer.Sign(bucketName, key).URL, from, want)
	}
	if err := download(smallKey, 0, 2<<20); err != nil {
		return nil, err
	}
	var list []streamed
	for _, step := range []struct {
		name   string
		bytes  int64
		atOnce int
	}{
		{"HTTP download", o.object, 1},
		{fmt.Sprintf("HTTP download, %d at once", downloadsAtOnce), o.object, downloadsAtOnce},
		{"HTTP download, range of the last quarter", o.object / 4, 1},
	} {
		memory, err := rig.MeasureMemory(server.PID(), func() error {
			errs := make([]error, step.atOnce)
			var group sync.WaitGroup
			for i := range errs {
				group.Go(func() { errs[i] = download(objectKey, o.object-step.bytes, step.bytes) })
			}
			group.Wait()
			return errors.Join(errs...)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		list = append(list, streamed{step.name, step.bytes * int64(step.atOnce), memory})
	}
	return list, nil
}

// fetch takes what follows an offset and wants so many bytes.
func fetch(ctx context.Context, link string, from, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if from > 0 {
		status = http.StatusPartialContent
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && (response.StatusCode != status || n != want) {
		err = fmt.Errorf("status %d with %d bytes instead of %d with %d", response.StatusCode, n, status, want)
	}
	return err
}
