package load

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestParseCPUReadsPastTheName(t *testing.T) {
	const rest = " S 1 10 10 0 -1 4194560 2105 0 12 0 150 25 0 0 20 0 9 0 1234 1262313472 5120 18446744073709551615"
	for _, test := range []struct{ name, stat string }{
		{"a plain name", "10 (llmhist)" + rest},
		{"a name with blanks", "10 (tmux: server 1 2)" + rest},
		{"a name with brackets", "10 (a) S 1 (b)" + rest},
		{"a name of brackets alone", "10 ())" + rest},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseCPU(test.stat + "\n")
			if err != nil || got != 1750*time.Millisecond {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestParseCPURefusesWhatIsNotAStatFile(t *testing.T) {
	for name, stat := range map[string]string{
		"empty":            "",
		"no name":          "10 S 1 10",
		"cut off":          "10 (llmhist) S 1 10 10 0 -1",
		"time not a count": "10 (llmhist) S 1 10 10 0 -1 4194560 2105 0 12 0 many 25 0 0",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parseCPU(stat); err == nil {
				t.Errorf("%q was read as %v", stat, got)
			}
		})
	}
}

func TestParseMemory(t *testing.T) {
	for _, test := range []struct {
		name, status string
		want         int64
		fails        bool
	}{
		{"is in bytes", "Name:\tx\nVmHWM:\t   900 kB\nVmRSS:\t   512 kB\nThreads:\t5\n", 512 << 10, false},
		{"is missing of an ended process", "Name:\tx\nState:\tZ (zombie)\n", 0, true},
		{"must be a number", "VmRSS:\t much kB\n", 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseMemory(test.status, "VmRSS")
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestCPUTimeAndMemoryOfThisProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	if _, err := CPUTime(os.Getpid()); err != nil {
		t.Error(err)
	}
	if rss, err := RSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("%d bytes resident, %v", rss, err)
	}
}

func TestThePeakOfMemoryBeginsAnew(t *testing.T) {
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skip("this system does not say")
	}
	const size = 256 << 20
	touched := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		touched[i] = 1
	}
	before, err := PeakRSS(os.Getpid())
	if err != nil || before < size {
		t.Fatalf("%d bytes at most, %v", before, err)
	}
	runtime.KeepAlive(touched)
	touched = nil
	debug.FreeOSMemory()
	if err := ResetPeakRSS(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if after, err := PeakRSS(os.Getpid()); err != nil || after > before-size/2 {
		t.Errorf("%d bytes after %d, %v", after, before, err)
	}
}
