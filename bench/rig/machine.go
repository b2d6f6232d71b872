package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"llmhist/bench/load"
)

// Machine is what figures were measured on.
type Machine struct {
	CPU, Memory, Kernel, Load, Commit string
	Cores                             int
}

// DescribeMachine reads what the machine says of itself; what it does not say
// is "unknown".
func DescribeMachine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH, Memory: "unknown", Kernel: "unknown", Load: "unknown", Commit: "unknown"}
	if value := procField("/proc/cpuinfo", "model name"); value != "" {
		m.CPU = value
	}
	if kilobytes, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		m.Memory = fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(data)), "-") // the version; builders' suffixes say nothing of speed
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(data))[:1], " ")
	}
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
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

// Disk is what a durable write costs where the data directory is.
type Disk struct {
	Fsync      load.Summary
	Filesystem string
}

const diskProbes = 100

// ProbeDisk writes and syncs a page many times: every commit and every stored
// object waits for that.
func ProbeDisk(dir string) (Disk, error) {
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return Disk{}, err
	}
	defer func() { _ = file.Close() }()
	page := make([]byte, 4096)
	var took []time.Duration
	for range diskProbes {
		began := time.Now()
		_, err := file.Write(page)
		if err = errors.Join(err, file.Sync()); err != nil {
			return Disk{}, err
		}
		took = append(took, time.Since(began))
	}
	return Disk{Fsync: load.Summarize(took), Filesystem: filesystemOf(dir)}, nil
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

// Clock is how much CPU time was used until a moment.
type Clock struct {
	at           time.Time
	busy, stolen time.Duration // of the whole machine
	own          []time.Duration
}

// Noise is the share of the machine's CPU time that others used between two
// moments, and what each of the own processes did.
type Noise struct {
	Others, Stolen float64
	own            []float64
}

// Own returns the share of own process n, in the order of ReadClock.
func (n Noise) Own(process int) float64 {
	if process >= len(n.own) {
		return 0 // nothing was measured
	}
	return n.own[process]
}

// ReadClock reads the CPU time of the machine and of the own processes.
func ReadClock(own ...int) (Clock, error) {
	c := Clock{at: time.Now(), own: make([]time.Duration, len(own))}
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	if c.busy, c.stolen, err = parseMachineCPU(string(data)); err != nil {
		return c, err
	}
	for i, pid := range own {
		if c.own[i], err = load.CPUTime(pid); err != nil {
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

// Since returns the shares between an earlier reading of the same processes and
// this one.
func (c Clock) Since(begin Clock) Noise {
	noise := Noise{own: make([]float64, len(c.own))}
	whole := c.at.Sub(begin.at) * time.Duration(runtime.NumCPU())
	if whole <= 0 {
		return noise
	}
	share := func(d time.Duration) float64 { return max(0, float64(d)/float64(whole)) }
	others := c.busy - begin.busy
	for i := range c.own {
		used := c.own[i] - begin.own[i]
		noise.own[i] = share(used)
		others -= used
	}
	noise.Others, noise.Stolen = share(others), share(c.stolen-begin.stolen)
	return noise
}
