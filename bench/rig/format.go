package rig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"llmhist/bench/load"
)

// Number writes three significant digits, or all before the point.
func Number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// Microseconds returns a duration as a number of them.
func Microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Milliseconds writes a duration in them.
func Milliseconds(d time.Duration) string { return Number(Microseconds(d)/1000) + " ms" }

// Mebibytes writes a count of bytes in them.
func Mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// Code writes the request that a name begins with, up to its comma, as code.
func Code(name string) string {
	request, rest, _ := strings.Cut(name, ", ")
	if rest == "" {
		return "`" + request + "`"
	}
	return "`" + request + "`, " + rest
}

// Counts lists how often each text was seen, or says none.
func Counts(seen map[string]int, none string) string {
	if len(seen) == 0 {
		return none
	}
	var parts []string
	for text, count := range seen {
		parts = append(parts, fmt.Sprintf("%d × %s", count, text))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Spread is a figure over several runs.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf returns the median of a figure and its extremes; the lower one of two
// middle values.
func SpreadOf(results []load.Result, figure func(load.Result) float64) Spread {
	if len(results) == 0 {
		return Spread{}
	}
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = figure(r)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	return Spread{Median: values[(len(values)-1)/2], Min: values[0], Max: values[len(values)-1]}
}

// WithRange writes the median, and the extremes in brackets.
func (s Spread) WithRange() string {
	return fmt.Sprintf("%s (%s–%s)", Number(s.Median), Number(s.Min), Number(s.Max))
}
