package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"llmhist/platform/check"
)

// checkResult is what a check has found, as --json prints it.
type checkResult struct {
	Clean    bool                   `json:"clean"` // no difference is left
	Repair   bool                   `json:"repair"`
	Fast     bool                   `json:"fast"`
	Grace    float64                `json:"grace_seconds"`
	Found    int64                  `json:"found"`
	Repaired int64                  `json:"repaired"`
	Left     int64                  `json:"left"`
	Counts   map[string]check.Count `json:"counts"`   // by code, complete
	Findings []check.Finding        `json:"findings"` // at most 1,000 of each code
	Summary  []areaResult           `json:"summary"`
	Seconds  float64                `json:"seconds"`
}

// areaResult is what was looked at in one service.
type areaResult struct {
	Service    string  `json:"service"`
	Rows       int64   `json:"rows"`
	Records    int64   `json:"records"`
	Media      int64   `json:"media"`
	IndexLines int64   `json:"index_lines"`
	Bytes      int64   `json:"bytes_read"`
	Seconds    float64 `json:"seconds"`
}

func resultOf(report *check.Report, took time.Duration) checkResult {
	result := checkResult{
		Repair: report.Repair, Fast: report.Fast, Grace: report.Grace.Seconds(), Counts: report.Counts(), Findings: report.Findings(),
		Left: report.Left(), Summary: []areaResult{}, Seconds: seconds(took),
	}
	for _, count := range result.Counts {
		result.Found += count.Found
		result.Repaired += count.Repaired
	}
	for _, area := range report.Areas() {
		result.Summary = append(result.Summary, areaResult{
			Service: area.Service, Rows: area.Rows.Load(), Records: area.Records.Load(), Media: area.Media.Load(),
			IndexLines: area.IndexLines.Load(), Bytes: area.Bytes.Load(), Seconds: seconds(area.Took),
		})
	}
	result.Clean = result.Left == 0
	return result
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func (r checkResult) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// maxShown is how many findings of one code people are shown.
const maxShown = 100

func (r checkResult) writeText(out io.Writer) error {
	shown := map[string]int64{}
	for i, finding := range r.Findings {
		if shown[finding.Code] < maxShown {
			shown[finding.Code]++
			fmt.Fprintln(out, sayFinding(finding))
		}
		last := i == len(r.Findings)-1 || r.Findings[i+1].Code != finding.Code
		if more := r.Counts[finding.Code].Found - shown[finding.Code]; last && more > 0 {
			fmt.Fprintf(out, "%-24s and %d more\n", finding.Code, more)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(out)
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "service\trows\trecords\tmedia\tindex lines\tread\tseconds")
	for _, area := range r.Summary {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%.1f\n", area.Service, area.Rows, area.Records, area.Media, area.IndexLines, sayBytes(area.Bytes), area.Seconds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n", r.conclusion())
	return err
}

func sayFinding(f check.Finding) string {
	what := f.Service
	for _, part := range []string{f.ID, f.Key} {
		if part != "" && (part == f.Key || !strings.Contains(f.Key, part)) { // most keys name the id
			what += " " + part
		}
	}
	line := fmt.Sprintf("%-24s %s: %s", f.Code, what, f.Detail)
	switch {
	case f.Repaired:
		line += " → " + f.Done
	case f.Failure != "":
		line += " → not repaired: " + oneLine(fmt.Errorf("%s", f.Failure))
	}
	return line
}

// conclusion says how it stands and what to do next.
func (r checkResult) conclusion() string {
	mendable := 0
	for _, f := range r.Findings {
		if f.Repairable && !f.Repaired {
			mendable++
		}
	}
	switch {
	case r.Found == 0:
		return "No difference was found."
	case r.Left == 0:
		return fmt.Sprintf("Found: %d, all of them repaired.", r.Found)
	case r.Repair:
		return fmt.Sprintf("Found: %d, repaired: %d, left: %d. Follow what each line says of what is left, and check again.", r.Found, r.Repaired, r.Left)
	case mendable == 0:
		return fmt.Sprintf("Found: %d. None can be repaired from what is stored: follow what each line says, and check again.", r.Found)
	default:
		return fmt.Sprintf("Found: %d. Back up, stop the server, and run llmhist check --repair to mend what can be mended.", r.Found)
	}
}

func sayBytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
}
