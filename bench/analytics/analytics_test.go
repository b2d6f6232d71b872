package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
