// Command suite measures a built llmhist and writes a Markdown report. It starts
// the server on an empty data directory, a fake upstream and a yardstick, all on
// free ports of 127.0.0.1, makes accounts, fills the table of images, and then
// puts load on one route after the other. bench/run.sh builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"llmhist/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		err = measureAll(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options say what to measure and for how long.
type options struct {
	binary   string // of llmhist
	tools    string // directory of fakeupstream and baseline
	out      string
	quick    bool
	images   int
	only     *regexp.Regexp
	runs     int // of each scenario; the median is reported
	starts   int // of the server, cold and warm
	warmup   time.Duration
	duration time.Duration
	idle     time.Duration
}

func parseOptions(args []string) (options, error) {
	o := options{runs: 3, starts: 5, idle: 10 * time.Second, warmup: time.Second, duration: 3 * time.Second}
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/llmhist", "the server to measure")
	flags.StringVar(&o.tools, "tools", "bin/bench", "directory of fakeupstream and baseline")
	flags.StringVar(&o.out, "out", "bin/benchmarks.md", "report to write")
	flags.BoolVar(&o.quick, "quick", false, "shorter measurements")
	flags.IntVar(&o.images, "images", 100_000, "images in the table while it is listed")
	only := flags.String("only", "", "measure only scenarios whose name matches this expression")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.warmup, o.duration = 150*time.Millisecond, 600*time.Millisecond
	}
	if o.images < 10_000 || o.images > 1_000_000 {
		return o, errors.New("-images must be 10000 to 1000000")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, err
	}
	for _, path := range []*string{&o.binary, &o.tools, &o.out} {
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

// measureAll runs everything and writes the report.
func measureAll(ctx context.Context, o options) (err error) {
	r := report{options: o, machine: rig.DescribeMachine(ctx), began: time.Now()}
	dir, err := os.MkdirTemp("", "llmhist-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if r.disk, err = rig.ProbeDisk(dir); err != nil {
		return err
	}
	s, err := openStage(ctx, o, dir)
	defer s.close()
	if err != nil {
		return err
	}
	if r.starts, err = s.measureStarts(ctx); err != nil {
		return err
	}
	if r.seeded, err = s.prepare(ctx); err != nil {
		return err
	}
	if r.rows, r.noise, err = s.measureScenarios(ctx); err != nil {
		return err
	}
	if r.memory, err = s.memory(r.rows); err != nil {
		return err
	}
	r.logged = s.server.Logged()
	r.took = time.Since(r.began)
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(o.out, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	say("report written to %s after %s", o.out, r.took.Round(time.Second))
	return nil
}

// say tells the operator what goes on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
