// Command drive puts one kind of request on a server of this machine and prints
// what was measured:
//
//	go run ./bench/drive -address 127.0.0.1:8080 -path /healthz -connections 10 -duration 5s -pid "$(pgrep -n llmhist)"
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"llmhist/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := drive(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "drive:", err)
		os.Exit(1)
	}
}

func drive(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("drive", flag.ContinueOnError)
	var plan load.Plan
	flags.StringVar(&plan.Address, "address", "127.0.0.1:8080", "loopback address and port of the server")
	flags.IntVar(&plan.Connections, "connections", 10, "connections that each send the next request after the last answer")
	flags.DurationVar(&plan.Warmup, "warmup", time.Second, "load before the measurement")
	flags.DurationVar(&plan.Duration, "duration", 5*time.Second, "length of the measurement")
	flags.IntVar(&plan.Requests, "requests", 0, "end after so many requests; 0 = by time alone")
	method := flags.String("method", http.MethodGet, "HTTP method")
	path := flags.String("path", "/", "path and query")
	body := flags.String("body", "", "JSON body")
	tokenFile := flags.String("token-file", "", "file that holds a bearer token")
	marker := flags.String("marker", "", "text in a stream that counts as its first byte")
	want := flags.Int("status", http.StatusOK, "status of an answer that succeeded")
	pid := flags.Int("pid", 0, "process whose CPU time and memory are measured")
	if err := flags.Parse(args); err != nil {
		return err
	}
	header, err := headers(*body, *tokenFile)
	if err != nil {
		return err
	}
	if *pid > 0 {
		plan.Watch = []int{*pid}
	}
	wire := load.Encode(*method, *path, plan.Address, header, []byte(*body))
	plan.Script = load.Repeat(load.Request{Wire: wire, Marker: []byte(*marker)}, *want)
	result, err := load.Run(ctx, plan)
	if err != nil {
		return err
	}
	report(out, result)
	return nil
}

func headers(body, tokenFile string) (http.Header, error) {
	header := http.Header{}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	if tokenFile == "" {
		return header, nil
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, err
	}
	header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return header, nil
}

func report(out io.Writer, r load.Result) {
	fmt.Fprintf(out, "%d requests in %s, %d failed: %.1f/s\n", r.Requests, r.Elapsed.Round(time.Millisecond), r.Failed(), r.PerSecond())
	for text, count := range r.Failures {
		fmt.Fprintf(out, "  %d × %s\n", count, text)
	}
	line := func(name string, s load.Summary) {
		fmt.Fprintf(out, "%-11s p50 %v  p90 %v  p99 %v  max %v\n", name, s.P50, s.P90, s.P99, s.Max)
	}
	line("whole", r.Latency)
	line("first byte", r.FirstByte)
	for i, usage := range r.Processes {
		fmt.Fprintf(out, "CPU         %v for each request (%v in all)\n", r.CPUPerRequest(i), usage.CPU)
		fmt.Fprintf(out, "memory      %d MiB before, %d MiB after, %d MiB at most\n", usage.RSSBefore>>20, usage.RSSAfter>>20, usage.RSSPeak>>20)
	}
}
