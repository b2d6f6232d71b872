package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"llmhist/bench/load"
)

// machine is what the figures were measured on.
type machine struct {
	cpu, memory, kernel, load, commit string
	cores                             int
}

func describeMachine(ctx context.Context) machine {
	m := machine{cores: runtime.NumCPU(), cpu: runtime.GOARCH, memory: "unknown", kernel: "unknown", load: "unknown", commit: "unknown"}
	if value := procField("/proc/cpuinfo", "model name"); value != "" {
		m.cpu = value
	}
	if kilobytes, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.memory = fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel, _, _ = strings.Cut(strings.TrimSpace(string(data)), "-") // the version; builders' suffixes say nothing of speed
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load = strings.Join(strings.Fields(string(data))[:1], " ")
	}
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		m.commit = strings.TrimSpace(string(out))
	}
	return m
}

// procField returns the value of the first line "name : value" of a file.
func procField(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// disk is what a durable write costs where the data directory is.
type disk struct {
	fsync      load.Summary
	filesystem string
}

const diskProbes = 100

// probeDisk writes and syncs a page many times: every commit and every stored
// object waits for that.
func probeDisk(dir string) (disk, error) {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return disk{}, err
	}
	defer func() { _ = file.Close() }()
	page := make([]byte, 4096)
	var took []time.Duration
	for range diskProbes {
		began := time.Now()
		_, err := file.Write(page)
		if err = errors.Join(err, file.Sync()); err != nil {
			return disk{}, err
		}
		took = append(took, time.Since(began))
	}
	return disk{fsync: load.Summarize(took), filesystem: filesystemOf(dir)}, nil
}

// filesystemOf returns the type of the file system that holds dir.
func filesystemOf(dir string) string {
	data, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	longest, kind := "", "unknown"
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/") + "/"
		if strings.HasPrefix(dir+"/", point) && len(point) >= len(longest) {
			longest, kind = point, fields[2]
		}
	}
	return kind
}

// clock is how much CPU time was used until now.
type clock struct {
	at              time.Time
	busy, stolen    time.Duration // of the whole machine
	server, yard    time.Duration
	upstream, drive time.Duration
}

// noise is the share of the machine's CPU time that others used.
type noise struct{ others, stolen, server, yard, upstream, driver float64 }

func (s *stage) clock() (clock, error) {
	c := clock{at: time.Now()}
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	if c.busy, c.stolen, err = parseMachineCPU(string(data)); err != nil {
		return c, err
	}
	for pid, into := range map[int]*time.Duration{
		s.server.pid(): &c.server, s.baseline.pid(): &c.yard, s.upstream.pid(): &c.upstream, os.Getpid(): &c.drive,
	} {
		if *into, err = load.CPUTime(pid); err != nil {
			return c, err
		}
	}
	return c, nil
}

// parseMachineCPU reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal in units of 10 ms.
func parseMachineCPU(stat string) (busy, stolen time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, errors.New("/proc/stat does not begin with the CPU time of the machine")
	}
	var ticks [8]time.Duration
	for i := range ticks {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks[i] = time.Duration(n) * 10 * time.Millisecond
	}
	return ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6], ticks[7], nil
}

// since returns the shares between two readings.
func (c clock) since(begin clock) noise {
	whole := c.at.Sub(begin.at) * time.Duration(runtime.NumCPU())
	if whole <= 0 {
		return noise{}
	}
	share := func(d time.Duration) float64 { return max(0, float64(d)/float64(whole)) }
	own := []time.Duration{c.server - begin.server, c.yard - begin.yard, c.upstream - begin.upstream, c.drive - begin.drive}
	others := c.busy - begin.busy
	for d := range slices.Values(own) {
		others -= d
	}
	return noise{
		others: share(others), stolen: share(c.stolen - begin.stolen),
		server: share(own[0]), yard: share(own[1]), upstream: share(own[2]), driver: share(own[3]),
	}
}
