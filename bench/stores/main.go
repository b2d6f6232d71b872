// Command stores measures how a built llmhist behaves when its stores are full:
// inserts and page reads at a million images and a million messages on SQLite
// and on PostgreSQL, and its memory while large objects stream. It writes a
// Markdown section. bench/stores.sh builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"llmhist/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == streamCommand {
		return streamObject(ctx, args[1:])
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	return measureAll(ctx, o)
}

// The parts of a measurement.
const (
	partSQLite   = "sqlite"
	partPostgres = "postgres"
	partMemory   = "memory"
)

// options say what to measure and how much of it.
type options struct {
	binary   string // of llmhist
	tools    string // directory of fakeupstream
	out      string
	parts    []string
	images   int
	messages int
	object   int64 // bytes of the object that streams
	runs     int   // of each figure; the median is reported
	duration time.Duration
	warmup   time.Duration

	postgres string // address of a server whose databases may be made and dropped
	s3       s3Server
}

// s3Server is an object store of the measurement's own.
type s3Server struct{ endpoint, access, secret string }

func parseOptions(args []string) (options, error) {
	o := options{runs: 3, warmup: 200 * time.Millisecond, postgres: os.Getenv("TEST_DATABASE_URL"),
		s3: s3Server{os.Getenv("TEST_S3_ENDPOINT"), os.Getenv("TEST_S3_ACCESS_KEY"), os.Getenv("TEST_S3_SECRET_KEY")}}
	flags := flag.NewFlagSet("stores", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/llmhist", "the server to measure")
	flags.StringVar(&o.tools, "tools", "bin/bench", "directory of fakeupstream")
	flags.StringVar(&o.out, "out", "bin/bench/stores.md", "report to write")
	flags.IntVar(&o.images, "images", 1_000_000, "images in the full store")
	flags.IntVar(&o.messages, "messages", 1_000_000, "messages in the full store")
	flags.DurationVar(&o.duration, "duration", time.Second, "of one run of one figure")
	megabytes := flags.Int64("object", 200, "megabytes of the object that streams")
	parts := flags.String("parts", strings.Join([]string{partSQLite, partPostgres, partMemory}, ","), "what to measure")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.parts, o.object = strings.Split(*parts, ","), *megabytes*1_000_000
	for _, part := range o.parts {
		if !slices.Contains([]string{partSQLite, partPostgres, partMemory}, part) {
			return o, fmt.Errorf("-parts: %q is none of sqlite, postgres, memory", part)
		}
	}
	for _, rows := range []int{o.images, o.messages} {
		if rows < 10_000 || rows > 10_000_000 {
			return o, errors.New("-images and -messages must be 10000 to 10000000")
		}
	}
	if *megabytes < 10 || *megabytes > 5000 || o.duration < 100*time.Millisecond || o.duration > time.Minute {
		return o, errors.New("-object must be 10 to 5000 and -duration 100ms to 1m")
	}
	var err error
	for _, path := range []*string{&o.binary, &o.tools, &o.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

// wants reports whether a part is to be measured.
func (o options) wants(part string) bool { return slices.Contains(o.parts, part) }

// measureAll runs everything and writes the report.
func measureAll(ctx context.Context, o options) error {
	r := report{options: o, machine: rig.DescribeMachine(ctx), began: time.Now()}
	dir, err := os.MkdirTemp("", "llmhist-stores-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if r.disk, err = rig.ProbeDisk(dir); err != nil {
		return err
	}
	if o.binary, err = rig.CopyBinary(o.binary, dir); err != nil {
		return err
	}
	for _, e := range enginesFor(o) {
		if e.missing != "" {
			r.skip(e.missing)
			continue
		}
		measured, err := measureEngine(ctx, o, e, filepath.Join(dir, e.part))
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		r.engines = append(r.engines, measured)
	}
	if o.wants(partMemory) {
		if r.streams, err = measureStreams(ctx, o, filepath.Join(dir, partMemory), r.skip); err != nil {
			return err
		}
	}
	return r.write()
}

// write puts the report into its file.
func (r *report) write() error {
	r.took = time.Since(r.began)
	if err := os.MkdirAll(filepath.Dir(r.options.out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(r.options.out, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	say("report written to %s after %s", r.options.out, r.took.Round(time.Second))
	return nil
}

// skip notes in the report, and says, what cannot be measured here.
func (r *report) skip(why string) {
	r.skipped = append(r.skipped, why)
	say("skipped: %s", why)
}

// say tells the operator what goes on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
