// Command analytics measures the questions of the dashboard over the sums of
// many events, on SQLite and on PostgreSQL, and writes a Markdown section:
//
//	go run ./bench/analytics --events 10000000
//
// It asks the module itself, through its routes and through its repository, in
// this process. PostgreSQL is measured where TEST_DATABASE_URL names a server
// whose databases may be made and dropped; tools/postgresserver.sh starts one.
// With --parts mongo, the MongoDB that TEST_MONGO_URI names is measured. The
// server that tools/mongoserver.sh starts reads every document for any question:
// it is good for a few thousand events and says nothing of a MongoDB.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"llmhist/bench/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The engines.
const (
	partSQLite   = "sqlite"
	partPostgres = "postgres"
	partMongo    = "mongo"
)

// options say what to measure and how much of it.
type options struct {
	events   int
	accounts int
	days     int
	runs     int // of each question
	requests int // of each turn with and without recording
	parts    []string
	out      string
	dir      string // for the databases; "" = a temporary one
	postgres string // address of a server
	mongo    string
}

func parseOptions(args []string) (options, error) {
	o := options{postgres: os.Getenv("TEST_DATABASE_URL"), mongo: os.Getenv("TEST_MONGO_URI")}
	flags := flag.NewFlagSet("analytics", flag.ContinueOnError)
	flags.IntVar(&o.events, "events", 10_000_000, "events to sum")
	flags.IntVar(&o.accounts, "accounts", 10_000, "accounts that made them")
	flags.IntVar(&o.days, "days", 400, "days over which they came, until now")
	flags.IntVar(&o.runs, "runs", 100, "how often each question is asked")
	flags.IntVar(&o.requests, "requests", 20_000, "requests of each turn with and without recording")
	flags.StringVar(&o.out, "out", "bin/bench/analytics.md", "report to write")
	flags.StringVar(&o.dir, "dir", "", "directory for the SQLite database, a temporary one unless named; what an earlier run filled there is measured again")
	parts := flags.String("parts", partSQLite+","+partPostgres, "engines to measure")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.parts = strings.Split(*parts, ",")
	for _, part := range o.parts {
		if part != partSQLite && part != partPostgres && part != partMongo {
			return o, fmt.Errorf("--parts: %q is none of sqlite, postgres and mongo", part)
		}
	}
	if o.events < 1000 || o.events > 100_000_000 || o.accounts < 10 || o.accounts > 1_000_000 {
		return o, errors.New("--events must be 1000 to 100000000 and --accounts 10 to 1000000")
	}
	if o.days < 1 || o.days > 400 || o.runs < 1 || o.runs > 10_000 {
		return o, errors.New("--days must be 1 to 400 and --runs 1 to 10000")
	}
	if o.requests < 100 || o.requests > 100_000 {
		return o, errors.New("--requests must be 100 to 100000")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	r := report{options: o, machine: rig.DescribeMachine(ctx), began: time.Now()}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "llmhist-analytics-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(o.dir) }()
	}
	for _, part := range o.parts {
		if part == partPostgres && o.postgres == "" {
			r.skipped = append(r.skipped, "PostgreSQL, because TEST_DATABASE_URL names no server")
			continue
		}
		if part == partMongo && o.mongo == "" {
			r.skipped = append(r.skipped, "MongoDB, because TEST_MONGO_URI names no server")
			continue
		}
		measured, err := measureEngine(ctx, o, part)
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		r.engines = append(r.engines, measured)
	}
	return r.write()
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// percentile returns the nearest rank of sorted durations.
func percentile(sorted []time.Duration, share float64) time.Duration {
	rank := int(share*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func sortedCopy(list []time.Duration) []time.Duration {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
