package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc: 1/USER_HZ, which is 100 on every
// architecture that Go supports (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// rssEvery is how often memory is sampled.
const rssEvery = 50 * time.Millisecond

// CPUTime returns the user and system time a process has used since its start.
func CPUTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseCPU(string(data))
}

// parseCPU reads fields 14 and 15 of /proc/PID/stat. Field 2 is the name in
// brackets, which may itself hold blanks and brackets: the last closing bracket
// ends it.
func parseCPU(stat string) (time.Duration, error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("no process name in the stat file")
	}
	fields := strings.Fields(stat[end+1:]) // the first is field 3
	if len(fields) < 13 {
		return 0, errors.New("too few fields in the stat file")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user time in the stat file: %w", err)
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("system time in the stat file: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// RSS returns the resident memory of a process in bytes.
func RSS(pid int) (int64, error) { return memoryOf(pid, "VmRSS") }

// PeakRSS returns the most resident memory that a process has had since its
// start or since ResetPeakRSS.
func PeakRSS(pid int) (int64, error) { return memoryOf(pid, "VmHWM") }

// ResetPeakRSS makes PeakRSS begin anew (proc_pid_clear_refs(5)).
func ResetPeakRSS(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

func memoryOf(pid int, field string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseMemory(string(data), field)
}

// parseMemory reads a line such as "VmRSS:  123 kB" of /proc/PID/status.
func parseMemory(status, field string) (int64, error) {
	for line := range strings.Lines(status) {
		text, found := strings.CutPrefix(line, field+":")
		if !found {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s in the status file: %w", field, err)
		}
		return kilobytes << 10, nil
	}
	return 0, errors.New("no resident memory in the status file: the process has ended")
}

// watch measures processes between its call and that of the function it
// returns, which must be called.
func watch(ctx context.Context, pids []int) (stop func() ([]Usage, error), err error) {
	usages := make([]Usage, len(pids))
	for i, pid := range pids {
		if usages[i], err = usageOf(pid); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		samplePeaks(ctx, pids, usages)
	}()
	return func() ([]Usage, error) {
		cancel()
		<-done
		return difference(pids, usages)
	}, nil
}

func usageOf(pid int) (Usage, error) {
	cpu, err := CPUTime(pid)
	if err != nil {
		return Usage{}, err
	}
	rss, err := RSS(pid)
	return Usage{CPU: cpu, RSSBefore: rss, RSSPeak: rss}, err
}

func samplePeaks(ctx context.Context, pids []int, usages []Usage) {
	ticker := time.NewTicker(rssEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for i, pid := range pids {
			if rss, err := RSS(pid); err == nil {
				usages[i].RSSPeak = max(usages[i].RSSPeak, rss)
			}
		}
	}
}

func difference(pids []int, before []Usage) ([]Usage, error) {
	for i, pid := range pids {
		now, err := usageOf(pid)
		if err != nil {
			return nil, err
		}
		before[i].CPU = now.CPU - before[i].CPU
		before[i].RSSAfter = now.RSSBefore
		before[i].RSSPeak = max(before[i].RSSPeak, now.RSSBefore)
	}
	return before, nil
}
