package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llmhist/modules/analytics"
)

func TestTheHoursHoldEveryEvent(t *testing.T) {
	o := options{events: 12_345, accounts: 50, days: 9}
	starts, counts := perHour(o, time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC))
	total := 0
	for _, n := range counts {
		total += n
	}
	if len(starts) != 9*24 || total != o.events || starts[len(starts)-1].Hour() != 7 {
		t.Errorf("%d events in %d hours, the last from %v", total, len(starts), starts[len(starts)-1])
	}
}

func TestAPercentileIsTheNearestRank(t *testing.T) {
	var list []time.Duration
	for i := range 100 {
		list = append(list, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{0.5: 50, 0.95: 95, 0.99: 99, 1: 100} {
		if got := percentile(list, share); got != want {
			t.Errorf("%v: %d, want %d", share, got, want)
		}
	}
	if got := percentile(list[:1], 0.5); got != 1 {
		t.Errorf("of one: %d", got)
	}
}

func TestDocumentsAreFilledAndAskedToo(t *testing.T) {
	if os.Getenv("TEST_MONGO_URI") == "" {
		if os.Getenv("LLMHIST_TEST_ALL") != "" {
			t.Fatal("TEST_MONGO_URI is not set")
		}
		t.Skip("SKIPPED: no MongoDB; set TEST_MONGO_URI or use make test-all")
	}
	o := options{events: 60, accounts: 5, days: 7, runs: 1, mongo: os.Getenv("TEST_MONGO_URI")} // the tests' server is slow
	e, err := o.open(t.Context(), partMongo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close(t.Context()) }()
	now := time.Now().UTC()
	if f, err := e.fill(t.Context(), o, now); err != nil || f.hours == 0 || f.sums <= f.hours {
		t.Fatalf("%+v, %v", f, err)
	}
	scope := analytics.Scope{Period: analytics.Period{From: now.AddDate(0, 0, -8).Truncate(time.Hour), To: now.Add(time.Hour).Truncate(time.Hour)}}
	if rollups, err := e.repository().ListRollups(t.Context(), scope, analytics.Group{}); err != nil || len(rollups) != 1 || rollups[0].Requests != 60 {
		t.Fatalf("%+v, %v", rollups, err)
	}
	if answers, err := ask(t.Context(), e, o, now); err != nil || len(answers) == 0 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
}

func TestEveryQuestionIsAnsweredAndReported(t *testing.T) {
	t.Setenv("TEST_DATABASE_URL", "")
	out := filepath.Join(t.TempDir(), "report.md")
	err := run(t.Context(), []string{"--events", "3000", "--accounts", "30", "--days", "30", "--runs", "2", "--requests", "200", "--dir", t.TempDir(), "--out", out})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"go run ./bench/analytics --events 3000 --accounts 30 --days 30 --runs 2 --requests 200", "| top users alone | 7 d, ended 20 days ago | everyone |",
		"| report as CSV | 30 d | the busiest account |", "The highest p95 is", "| with recording |", "| Not measured | PostgreSQL",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
