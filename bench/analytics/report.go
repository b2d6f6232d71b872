package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"llmhist/bench/rig"
)

// report is everything that was measured.
type report struct {
	options options
	machine rig.Machine
	engines []measured
	skipped []string
	began   time.Time
}

// write prints the report and puts it into its file.
func (r *report) write() error {
	text := r.markdown()
	fmt.Print(text)
	if err := os.MkdirAll(filepath.Dir(r.options.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.options.out, []byte(text), 0o644)
}

// command returns the call that made this report.
func (r *report) command() string {
	text := fmt.Sprintf("go run ./bench/analytics --events %d", r.options.events)
	for _, option := range []struct {
		name         string
		value, usual any
	}{
		{"accounts", r.options.accounts, 10_000}, {"days", r.options.days, 400}, {"runs", r.options.runs, 100}, {"requests", r.options.requests, 20_000},
		{"parts", strings.Join(r.options.parts, ","), partSQLite + "," + partPostgres},
	} {
		if option.value != option.usual {
			text += fmt.Sprintf(" --%s %v", option.name, option.value)
		}
	}
	return text
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Questions of the dashboard\n\nMade by `%s` on %s in %s, at commit `%s`. Do not edit: run it again.\n\n| | |\n|---|---|\n", r.command(),
		r.began.UTC().Format("2006-01-02 15:04 MST"), time.Since(r.began).Round(time.Second), r.machine.Commit)
	lines := [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores, shared by the engine and the driver", r.machine.CPU, r.machine.Cores)},
		{"Memory", r.machine.Memory},
		{"Kernel, Go", r.machine.Kernel + ", " + runtime.Version()},
		{"Load average before", r.machine.Load},
		{"Content", fmt.Sprintf("%d events of %d accounts and of nobody, over %d days, by %d models", r.options.events, r.options.accounts, r.options.days, len(models))},
	}
	for _, m := range r.engines {
		rows := fmt.Sprintf("%s; %d rows of hours, %d of their latencies, %d of longer sums", m.version, m.filled.hours, m.filled.latencies, m.filled.sums)
		if m.filled.derived > 0 {
			rows += ", which were made in " + m.filled.derived.Round(time.Second).String()
		}
		others := "other programs"
		if m.name != "SQLite" {
			others = "the server and other programs"
		}
		lines = append(lines, [2]string{m.name, fmt.Sprintf("%s; %s used %.0f %% of the CPU time of the machine meanwhile", rows, others, 100*m.noise.Others)})
	}
	for _, why := range r.skipped {
		lines = append(lines, [2]string{"Not measured", why})
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "| %s | %s |\n", line[0], line[1])
	}
	for _, m := range r.engines {
		m.write(&b)
	}
	r.writeNotes(&b)
	return b.String()
}

func (m measured) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n| question | period | of | p50 ms | p95 ms | p99 ms |\n|---|---|---|---:|---:|---:|\n", m.name)
	worst := m.answers[0]
	for _, a := range m.answers {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", a.name, a.window, a.of, a.figures())
		if percentile(a.times, 0.95) > percentile(worst.times, 0.95) {
			worst = a
		}
	}
	fmt.Fprintf(b, "\nThe highest p95 is %s: %s, %s, %s.\n", rig.Milliseconds(percentile(worst.times, 0.95)), worst.name, worst.window, worst.of)
	fmt.Fprint(b, "\n| storing | p50 ms | p95 ms | p99 ms |\n|---|---:|---:|---:|\n")
	for _, a := range m.appends {
		fmt.Fprintf(b, "| %s | %s |\n", a.name, a.figures())
	}
	m.recording.write(b)
}

func (a answered) figures() string {
	var list []string
	for _, share := range []float64{0.50, 0.95, 0.99} {
		list = append(list, rig.Number(rig.Microseconds(percentile(a.times, share))/1000))
	}
	return strings.Join(list, " | ")
}

func (r *report) writeNotes(b *strings.Builder) {
	fmt.Fprintf(b, `
### How to read this

- The aim: 95 of 100 answers within 50 ms.
- A question is a request to the module's own route, in one process with it: permission, every query it makes, JSON. Each is asked %d times, one after the other, after once that is not counted. Nothing keeps answers.
- Periods end now and begin and end inside of a day, so that every answer is put together from hours, days and months.
- Accounts differ: the busiest makes over a hundred times the requests of one in the middle.
- Where other programs used much of the CPU time meanwhile, p95 and p99 say more of them than of the answers; p50 is what they take.
- Periods that ended 20 days ago are harder to count accounts in: everybody who came later has to be looked for.
- A request over HTTP is one to a route that answers 1 KB at once, 10 connections in a closed loop, four turns each in the order without, with: median and extremes. The CPU time is of this whole process, driver included and PostgreSQL's server not, until the last event is stored, divided by the %d requests of a turn: the difference of the two rows is what recording costs.
- The hours of the events were put straight into their tables; single events, which no question reads, were not.
`, r.options.runs, r.options.requests)
}
