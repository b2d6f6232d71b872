package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"llmhist/bench/load"
	"llmhist/bench/rig"
)

// report is everything that was measured.
type report struct {
	options options
	machine rig.Machine
	disk    rig.Disk
	engines []measured
	streams []streamed
	skipped []string
	began   time.Time
	took    time.Duration
}

// markdown returns the report, as a section of docs/benchmarks.md.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprint(&b, "## Full stores\n\n")
	r.writeConditions(&b)
	for _, m := range r.engines {
		m.writeReads(&b)
		m.writeInserts(&b)
	}
	r.writeStreams(&b)
	r.writeNotes(&b)
	return b.String()
}

// command returns the call that made this report.
func (r *report) command() string {
	text := "bench/stores.sh"
	for _, option := range []struct {
		name         string
		value, usual any
	}{
		{"images", r.options.images, 1_000_000}, {"messages", r.options.messages, 1_000_000},
		{"object", r.options.object / 1_000_000, int64(200)}, {"duration", r.options.duration, time.Second},
		{"parts", strings.Join(r.options.parts, ","), "sqlite,postgres,memory"},
	} {
		if option.value != option.usual {
			text += fmt.Sprintf(" --%s %v", option.name, option.value)
		}
	}
	return text
}

func (r *report) writeConditions(b *strings.Builder) {
	fmt.Fprintf(b, "Made by `%s` on %s in %s, at commit `%s`. Do not edit: run it again.\n\n| | |\n|---|---|\n", r.command(),
		r.began.UTC().Format("2006-01-02 15:04 MST"), r.took.Round(time.Second), r.machine.Commit)
	lines := [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores, shared by the servers and the load driver", r.machine.CPU, r.machine.Cores)},
		{"Memory", r.machine.Memory},
		{"Kernel, Go", r.machine.Kernel + ", " + runtime.Version()},
		{"File system", fmt.Sprintf("%s; 4 KiB written and synced: p50 %s, p99 %s", r.disk.Filesystem, rig.Milliseconds(r.disk.Fsync.P50), rig.Milliseconds(r.disk.Fsync.P99))},
		{"Load average before", r.machine.Load},
	}
	for _, m := range r.engines {
		version := m.version
		lines = append(lines, [2]string{m.engine.name, fmt.Sprintf("%s; filled in %s; others used %.1f %% of the CPU time meanwhile, the hypervisor %.1f %%",
			version, m.filled.Round(time.Second), 100*m.noise.Others, 100*m.noise.Stolen)})
	}
	for _, why := range r.skipped {
		lines = append(lines, [2]string{"Not measured", why})
	}
	for _, line := range lines {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], line[1])
	}
}

func (m measured) writeReads(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Pages, %s\n\n%d images and %d speeches of %d users over 90 days; %d messages in %d sessions, %d of them of one user, with %d messages in the longest.\n\n",
		m.engine.name, m.content.images, m.content.speech, owners, m.content.messages, len(m.content.sessions), m.content.ofFirstOwner(), 2*m.content.sessions[0].turns)
	fmt.Fprint(b, "| request | entries | a page | first p50 ms | p99 ms | inside p50 ms | p99 ms | deepest p50 ms | p99 ms | inside to first | deepest to first | the same at p10 |\n|---|"+strings.Repeat("---:|", 11)+"\n")
	for _, r := range m.reads {
		fmt.Fprintf(b, "| %s | %d | %d | %s | %s | %s | %.2f | %.2f | %.2f, %.2f |\n", rig.Code(r.list.name), r.list.total, r.list.size,
			latencies(r.first), latencies(r.inside), latencies(r.deepest), r.ratio(r.inside), r.ratio(r.deepest), r.quietRatio(r.inside), r.quietRatio(r.deepest))
	}
}

// ofFirstOwner counts the sessions of who signs in.
func (c *content) ofFirstOwner() int {
	count := 0
	for _, s := range c.sessions {
		if s.owner == 0 {
			count++
		}
	}
	return count
}

func latencies(results []load.Result) string {
	p99 := rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.Latency.P99) })
	return rig.Number(medianLatency(results)/1000) + " | " + rig.Number(p99.Median/1000)
}

func (m measured) writeInserts(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Inserts, %s\n\n%d clients at once.\n\n", m.engine.name, insertConnections)
	fmt.Fprint(b, "| request | full: inserts/s | p50 ms | p99 ms | empty at first: inserts/s | p50 ms | p99 ms | rate, full to empty | p50, full to empty |\n|---|"+strings.Repeat("---:|", 8)+"\n")
	for _, i := range m.inserts {
		full, empty := rig.SpreadOf(i.full, load.Result.PerSecond), rig.SpreadOf(i.empty, load.Result.PerSecond)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %.2f | %.2f |\n", rig.Code(i.name), full.WithRange(), latencies(i.full),
			empty.WithRange(), latencies(i.empty), full.Median/empty.Median, medianLatency(i.full)/medianLatency(i.empty))
	}
}

func (r *report) writeStreams(b *strings.Builder) {
	if len(r.streams) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### Memory while %d MB stream\n\n| | moved MB | base | peak | growth | after | MB/s |\n|---|%s\n", r.options.object/1_000_000, strings.Repeat("---:|", 6))
	for _, s := range r.streams {
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |\n", s.Name, s.Bytes/1_000_000, rig.Mebibytes(s.Memory.Base), rig.Mebibytes(s.Memory.Peak),
			rig.Mebibytes(s.Memory.Growth()), rig.Mebibytes(s.Memory.After), rig.Number(float64(s.Bytes)/1e6/s.Memory.Took.Seconds()))
	}
}

func (r *report) writeNotes(b *strings.Builder) {
	fmt.Fprint(b, `
### How to read this

- The aim: no page of a list takes more than twice as long as its first one, however long the list is. `+"`inside`"+` is `+fmt.Sprint(insidePages)+` pages drawn from the middle half, each asked for once before, `+"`deepest`"+` the last page; it was checked that the deepest page holds the oldest entry.
- Pages are read over HTTP by one client, so that a latency is the work for one page: token, queries, JSON. First, inside and deepest take turns; each figure is the median of `+fmt.Sprint(r.options.runs)+` runs of `+r.options.duration.String()+`, inserts twice as long.
- `+"`at p10`"+` compares the fastest tenth of the best run of each, which other programs disturb least: where it differs much from the ratio of the medians, the machine was not quiet and the run tells little.
- Inserts go over HTTP too, with everything a request does: for an image its objects, its rows and its history, for a chat an answer of the fake upstream. Two servers run side by side, one on the full store and one on a store that began empty, and take turns.
- SQLite syncs every commit; PostgreSQL runs with fsync on, on this machine. Rows were put straight into the tables, in the order of time; PostgreSQL was then vacuumed, as its autovacuum does in time.
- Memory is what a process had resident (`+"`VmHWM`"+`, begun anew before each line), in a process that does nothing else. `+"`growth`"+` must not depend on the size of the object. A link to an S3 object leads to the store itself: such a download does not pass the server.
- Ratios of one run can be compared between machines; single figures cannot.
`)
	for _, m := range r.engines {
		fmt.Fprintf(b, "- What the server of the full store on %s logged at `warn` or above: %s.\n", m.engine.name, rig.Counts(m.logged, "nothing"))
	}
}
