// Command streams measures what a server needs for many streamed chat answers at
// once, and prints a Markdown table. It starts a built llmhist, a fake upstream
// and the proxy without history that bench/suite measures against:
//
//	make build && go build -o bin/bench/ ./bench/... && bin/bench/streams
//
// Open streams: all are under way at the same time, each with a piece of its
// answer every few seconds. Long ones: each is 1 MB, under a limit of memory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
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

type options struct {
	binary string // of llmhist
	tools  string // directory of fakeupstream and baseline
	open   int    // streams at once
	long   int    // streams of 1 MB at once
	memory int    // limit for those, in MiB
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/llmhist", "the server to measure")
	flags.StringVar(&o.tools, "tools", "bin/bench", "directory of fakeupstream and baseline")
	flags.IntVar(&o.open, "open", 5000, "streams that are open at once; 0 = do not measure that")
	flags.IntVar(&o.long, "long", 1000, "streams of 1 MB at once; 0 = do not measure that")
	flags.IntVar(&o.memory, "memory", 256, "memory limit (GOMEMLIMIT) of the server for the long streams, in MiB")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	for _, path := range []*string{&o.binary, &o.tools} {
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

func measureAll(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "llmhist-streams-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary, err = rig.CopyBinary(o.binary, dir); err != nil {
		return err
	}
	fmt.Println("| streams | server | at once | whole | refused with 503 and Retry-After | lost | seconds | MiB before | MiB at most | KiB a stream | MiB 30 s after |")
	fmt.Println("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	if o.open > 0 {
		if err := o.measureOpen(ctx, dir); err != nil {
			return err
		}
	}
	if o.long > 0 {
		return o.measureLong(ctx, dir)
	}
	return nil
}

// measureOpen compares the server with the proxy.
func (o options) measureOpen(ctx context.Context, dir string) error {
	upstream, base, err := o.upstream(ctx, dir, "-answer-bytes", "1024", "-chunks", "10", "-chunk-delay", "3s")
	if err != nil {
		return err
	}
	defer upstream.Stop()
	server, token, err := o.server(ctx, filepath.Join(dir, "open"), base)
	if err != nil {
		return err
	}
	defer server.Stop()
	if err := report(ctx, "open, 1 KB in 10 pieces over 30 s", "llmhist", server.PID(), plan{server.Address, token, o.open}); err != nil {
		return fmt.Errorf("%w: %s", err, server.LastWords())
	}
	server.Stop()
	proxy, err := rig.StartTool(ctx, dir, filepath.Join(o.tools, "baseline"), "-upstream", base)
	if err != nil {
		return err
	}
	defer proxy.Stop()
	var said struct{ Address, Token string }
	if err := json.Unmarshal([]byte(proxy.First), &said); err != nil {
		return err
	}
	address, err := url.Parse(said.Address)
	if err != nil {
		return err
	}
	return report(ctx, "the same", "proxy without history", proxy.PID(), plan{address.Host, said.Token, o.open})
}

func (o options) measureLong(ctx context.Context, dir string) error {
	upstream, base, err := o.upstream(ctx, dir, "-answer-bytes", "1048576", "-chunks", "1000")
	if err != nil {
		return err
	}
	defer upstream.Stop()
	server, token, err := o.server(ctx, filepath.Join(dir, "long"), base, fmt.Sprintf("GOMEMLIMIT=%dMiB", o.memory))
	if err != nil {
		return err
	}
	defer server.Stop()
	err = report(ctx, fmt.Sprintf("long, 1 MB in 1000 pieces, GOMEMLIMIT %d MiB", o.memory), "llmhist", server.PID(), plan{server.Address, token, o.long})
	if err != nil {
		return fmt.Errorf("%w: %s", err, server.LastWords())
	}
	return nil
}

func (o options) upstream(ctx context.Context, dir string, args ...string) (*rig.Child, string, error) {
	child, err := rig.StartTool(ctx, dir, filepath.Join(o.tools, "fakeupstream"), args...)
	if err != nil {
		return nil, "", err
	}
	return child, strings.TrimSpace(child.First), nil
}

// server starts llmhist on an empty data directory and returns the token of a
// user.
func (o options) server(ctx context.Context, data, upstream string, env ...string) (*rig.Child, string, error) {
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, "", err
	}
	env = append(env, "HOST=127.0.0.1", "DATA_DIR="+filepath.Join(data, "data"), "LOG_LEVEL=warn", "LOG_FORMAT=json", "JWT_EXPIRES_IN=2h",
		"CHAT_PROVIDERS=openai", "OPENAI_API_KEY=x", "OPENAI_DEFAULT_MODEL=demo-1", "OPENAI_BASE_URL="+upstream+"/v1")
	child, _, err := rig.Server{Binary: o.binary, Dir: data, Env: append(env, rig.WithoutLimits()...)}.Start(ctx)
	if err != nil {
		return nil, "", err
	}
	user := rig.Account{Email: "user@example.org", Password: "correct horse battery staple"}
	api := rig.API{Base: "http://" + child.Address}
	if err := errors.Join(api.Register(ctx, user), api.SignIn(ctx, &user)); err != nil {
		child.Stop()
		return nil, "", err
	}
	return child, user.Access, nil
}

// report opens the streams, waits for their end and prints a line.
func report(ctx context.Context, streams, name string, pid int, p plan) error {
	var counts outcomes
	memory, err := rig.MeasureMemory(pid, func() (err error) {
		counts, err = p.run(ctx)
		return err
	})
	if err != nil {
		return err
	}
	after, err := later(ctx, pid)
	if err != nil {
		return err
	}
	const mib = 1 << 20
	fmt.Printf("| %s | %s | %d | %d | %d | %d | %.1f | %.1f | %.1f | %.1f | %.1f |\n", streams, name, p.streams, counts.whole, counts.refused, counts.lost,
		memory.Took.Seconds(), float64(memory.Base)/mib, float64(memory.Peak)/mib, float64(memory.Growth())/1024/float64(p.streams), float64(after)/mib)
	for why, times := range counts.reasons {
		fmt.Fprintf(os.Stderr, "lost %d times: %s\n", times, why)
	}
	return nil
}

// restTime is how long the server has to give memory back.
const restTime = 30 * time.Second
