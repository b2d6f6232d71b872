// Command crashes kills the server under sixteen writers as often as it is told
// and prints what was acknowledged, what was verified and what was lost. It ends
// with code 1 when anything was.
//
//	crashes -binary bin/llmhist -cycles 1000 [-engines larger]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"llmhist/bench/crash"
)

func main() {
	binary := flag.String("binary", "bin/llmhist", "the program to kill")
	cycles := flag.Int("cycles", 1000, "how often it is killed")
	engines := flag.String("engines", "embedded", "embedded, or larger: PostgreSQL, MongoDB's protocol, S3 and Redis, which are killed too")
	full := flag.Int("full", 50, "cycles after which everything is verified")
	flag.Parse()
	if err := run(*binary, *engines, *cycles, *full); err != nil {
		fmt.Fprintln(os.Stderr, "crashes:", err)
		os.Exit(1)
	}
}

func run(binary, engines string, cycles, full int) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "llmhist-crashes-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var larger *crash.Larger
	switch engines {
	case "embedded":
	case "larger":
		binaries, err := crash.BinariesFromEnv()
		if err != nil {
			return fmt.Errorf("run it by bench/crash.sh, which finds the engines: %w", err)
		}
		if larger, err = crash.OpenLarger(dir, binaries); err != nil {
			return err
		}
		defer func() { _ = larger.Close() }()
	default:
		return fmt.Errorf("-engines must be embedded or larger, not %q", engines)
	}
	return kill(crash.Options{Binary: binary, Dir: dir, Larger: larger, FullEvery: full, Log: say}, cycles)
}

func say(format string, args ...any) {
	fmt.Printf(time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// kill runs the cycles. On the larger engines every fifth kills one of them
// instead, every tenth one together with the server.
func kill(options crash.Options, cycles int) error {
	r, err := crash.Open(options)
	if err != nil {
		return err
	}
	defer r.Close()
	for i := range cycles {
		if err := cycle(r, options.Larger, i+1); err != nil {
			return err
		}
		if len(r.Violations()) > 0 && i%10 == 0 {
			say("%d violations so far; the first: %s", len(r.Violations()), r.Violations()[0])
		}
	}
	if err := r.Finish(); err != nil {
		return err
	}
	fmt.Print(r.Report())
	if n := len(r.Violations()); n > 0 {
		return fmt.Errorf("%d violations", n)
	}
	return nil
}

func cycle(r *crash.Run, larger *crash.Larger, number int) error {
	if larger == nil || number%5 != 0 {
		return r.KillCycle()
	}
	engine := larger.Engines[number/5%len(larger.Engines)]
	if number%10 == 0 {
		return r.KillTogether(engine)
	}
	if _, err := r.EngineCycle(engine); err != nil {
		return err
	}
	return r.RestartAndLook()
}
