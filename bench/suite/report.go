package main

import (
	"fmt"
	"runtime"
	"slices"
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
	starts  starts
	seeded  seeded
	rows    []row
	noise   rig.Noise
	memory  memory
	logged  map[string]int // what the server logged at warn or above, and how often
	began   time.Time
	took    time.Duration
}

// markdown returns the report.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprint(&b, "# Benchmarks\n\n")
	r.writeConditions(&b)
	r.writeStarts(&b)
	for _, group := range []string{groupHealth, groupAccount, groupChat, groupOpenAI, groupImage, groupList} {
		r.writeGroup(&b, group)
	}
	r.writeShares(&b)
	r.writeNotes(&b)
	return b.String()
}

// command returns the call that made this report.
func (r report) command() string {
	text := "bench/run.sh"
	if r.options.quick {
		text += " --quick"
	}
	if r.options.images != 100_000 {
		text += fmt.Sprintf(" --images %d", r.options.images)
	}
	if only := r.options.only.String(); only != "" {
		text += fmt.Sprintf(" --only '%s'", only)
	}
	return text
}

func (r report) writeConditions(b *strings.Builder) {
	fmt.Fprintf(b, "Made by `%s` on %s in %s, at commit `%s`. ", r.command(), r.began.UTC().Format("2006-01-02 15:04 MST"), r.took.Round(time.Second), r.machine.Commit)
	fmt.Fprint(b, "Do not edit: run it again.\n\n| | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores, shared by the server, the fake upstream and the load driver", r.machine.CPU, r.machine.Cores)},
		{"Memory", r.machine.Memory},
		{"Kernel", r.machine.Kernel},
		{"Go", runtime.Version()},
		{"File system", fmt.Sprintf("%s; 4 KiB written and synced: p50 %s, p99 %s", r.disk.Filesystem, rig.Milliseconds(r.disk.Fsync.P50), rig.Milliseconds(r.disk.Fsync.P99))},
		{"Load average before", r.machine.Load},
		{"Used by other programs during the measurements", fmt.Sprintf("%.1f %% of the CPU time; %.1f %% taken by the hypervisor", 100*r.noise.Others, 100*r.noise.Stolen)},
		{"Server", "SQLite and objects in a data directory, the limit of chat on and not reached, others off, logging at `warn`"},
		{"Each figure", fmt.Sprintf("median of %d runs of %s (logins, local/canvas and text search %s) after %s of warm-up; lowest and highest run in brackets",
			r.options.runs, r.options.duration, slowFactor*r.options.duration, r.options.warmup)},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], line[1])
	}
}

func (r report) writeStarts(b *strings.Builder) {
	s := r.starts
	fmt.Fprint(b, "\n## Start and memory\n\n| | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"Process start to first 200 of `/readyz`, data directory with content", timesOf(s.warm)},
		{"The same on an empty directory (makes the RSA key and the schema)", timesOf(s.cold)},
		{"Resident memory when ready", rig.Mebibytes(s.rssStart)},
		{"Resident memory after " + r.options.idle.String() + " idle", rig.Mebibytes(s.rssIdle)},
		{"Resident memory after all measurements", rig.Mebibytes(r.memory.end)},
		{"Highest resident memory", rig.Mebibytes(r.memory.peak) + ", in " + rig.Code(r.memory.peakIn)},
		{"Binary", rig.Mebibytes(s.binaryBytes)},
	} {
		fmt.Fprintf(b, "| %s | %s |\n", line[0], line[1])
	}
}

func (r report) writeGroup(b *strings.Builder, group string) {
	rows := slices.DeleteFunc(slices.Clone(r.rows), func(one row) bool { return one.scenario.group != group })
	if len(rows) == 0 {
		return
	}
	compared := slices.ContainsFunc(rows, func(one row) bool { return one.baseline != nil })
	streams := slices.ContainsFunc(rows, row.isStream)
	fmt.Fprintf(b, "\n## %s\n\n", group)
	if group == groupList {
		fmt.Fprintf(b, "%d images of %d users, %d of each, spread over %d days.\n\n", r.seeded.images, owners, r.seeded.ofUser, int(r.seeded.span.Hours()/24))
	}
	header := []string{"request", "connections", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "failed"}
	if streams {
		header = append(header, "first piece p50 ms")
	}
	if compared {
		header = append(header, "requests/s to yardstick", "CPU to yardstick")
	}
	fmt.Fprintf(b, "| %s |\n|---|%s\n", strings.Join(header, " | "), strings.Repeat("---:|", len(header)-1))
	for _, one := range rows {
		one.writeTo(b, streams, compared)
	}
}

// isStream reports whether the scenario has a first byte worth showing.
func (r row) isStream() bool {
	return strings.Contains(r.scenario.name, "events")
}

// writeTo writes a line for llmhist and, if there is one, for the yardstick.
func (r row) writeTo(b *strings.Builder, streams, compared bool) {
	own := cells(r.server)
	if streams {
		own = append(own, r.firstPiece(r.server))
	}
	if compared && r.baseline != nil {
		own = append(own, ratio(r.server, r.baseline, load.Result.PerSecond), ratio(r.server, r.baseline, cpuOf(watchServer)))
	} else if compared {
		own = append(own, "", "")
	}
	fmt.Fprintf(b, "| %s | %d | %s |\n", rig.Code(r.scenario.name), r.scenario.connections, strings.Join(own, " | "))
	if r.baseline == nil {
		return
	}
	yard := cells(r.baseline)
	if streams {
		yard = append(yard, r.firstPiece(r.baseline))
	}
	fmt.Fprintf(b, "| — yardstick | %d | %s | | |\n", r.scenario.connections, strings.Join(yard, " | "))
}

func (r row) firstPiece(results []load.Result) string {
	if !r.isStream() {
		return ""
	}
	return rig.Number(rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.FirstByte.P50) / 1000 }).Median)
}

func cells(results []load.Result) []string {
	p50 := rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.Latency.P50) / 1000 })
	p99 := rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.Latency.P99) / 1000 })
	return []string{
		rig.SpreadOf(results, load.Result.PerSecond).WithRange(), rig.Number(p50.Median), rig.Number(p99.Median),
		rig.SpreadOf(results, cpuOf(watchServer)).WithRange(), failures(results),
	}
}

func failures(results []load.Result) string {
	total := map[string]int{}
	for _, r := range results {
		for text, count := range r.Failures {
			total[text] += count
		}
	}
	return rig.Counts(total, "0")
}

func ratio(ours, theirs []load.Result, figure func(load.Result) float64) string {
	denominator := rig.SpreadOf(theirs, figure).Median
	if denominator == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", rig.SpreadOf(ours, figure).Median/denominator)
}

// writeShares says where the CPU time of a request went, so that a figure that
// was bounded by the driver or the upstream can be recognized.
func (r report) writeShares(b *strings.Builder) {
	fmt.Fprint(b, "\n## Where the CPU time went\n\nµs for each request of llmhist. A server that shares its cores with the driver cannot use them all: ",
		"where these columns are of one size, requests/s is a property of the whole arrangement and CPU µs/request the better figure.\n\n",
		"| request | connections | llmhist | fake upstream | load driver | p90 ms | slowest ms |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, one := range r.rows {
		median := func(figure func(load.Result) float64) string {
			return rig.Number(rig.SpreadOf(one.server, figure).Median)
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |\n", rig.Code(one.scenario.name), one.scenario.connections,
			median(cpuOf(watchServer)), median(cpuOf(watchUpstream)), median(cpuOf(watchDriver)),
			median(func(r load.Result) float64 { return rig.Microseconds(r.Latency.P90) / 1000 }),
			rig.Number(rig.SpreadOf(one.server, func(r load.Result) float64 { return rig.Microseconds(r.Latency.Max) / 1000 }).Max))
	}
}

func (r report) writeNotes(b *strings.Builder) {
	fmt.Fprint(b, `
## How to read this

- The driver is closed-loop: each connection sends its next request when the last answer was read whole. Latency is until the last byte.
- CPU is user and system time of the server's process from `+"`/proc`"+`, divided by the requests completed; it counts in steps of 10 ms.
- The yardstick (`+"`bench/baseline`"+`) is the least an Echo server can do for the same route on the same machine in the same run: it checks RS256 tokens, verifies argon2id hashes with the same parameters, signs with a key of the same size and proxies chat, but stores and records nothing. llmhist and the yardstick take turns, run by run.
- `+"`GET /users/me`"+` can beat the yardstick: llmhist remembers which tokens it has verified, the yardstick verifies each time.
- Writes wait for the disk. A chat answer, an image and a refresh are durable before they are acknowledged, so that their throughput is bounded by the syncs above, not by CPU.
- The fake upstream answers at once: its times are not those of a model.
- Ratios of one run can be compared between machines; single figures cannot.
`)
	fmt.Fprintf(b, "- What the server logged at `warn` or above during all this: %s.\n", rig.Counts(r.logged, "nothing"))
	fmt.Fprintf(b, "- CPU shares of the whole machine during the measurements: llmhist %.0f %%, yardstick %.0f %%, upstream %.0f %%, driver %.0f %%.\n",
		100*r.noise.Own(ownServer), 100*r.noise.Own(ownYardstick), 100*r.noise.Own(ownUpstream), 100*r.noise.Own(ownDriver))
	fmt.Fprintf(b, "- Filling the table took %s.\n", r.seeded.took.Round(10*time.Millisecond))
}

func timesOf(durations []time.Duration) string {
	if len(durations) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(durations))
	return fmt.Sprintf("%s (%s–%s, %d starts)", rig.Milliseconds(load.Percentile(sorted, 50)), rig.Milliseconds(sorted[0]), rig.Milliseconds(sorted[len(sorted)-1]), len(sorted))
}
