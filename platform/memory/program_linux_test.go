package memory

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOnlyUnchangedPartsOfTheProgramAreForgotten(t *testing.T) {
	const mappings = `00400000-00e01000 r-xp 00000000 08:01 1234                               /opt/my tools/llmhist
Size:              10244 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
00e01000-02000000 r--p 00a01000 08:01 1234                               /opt/my tools/llmhist
Size:              18428 kB
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
02000000-02100000 r--p 01c00000 08:01 1234                               /opt/my tools/llmhist
Anonymous:             0 kB
Swap:                  0 kB
02080000-02090000 r--p 01c80000 08:01 1234                               /opt/my tools/llmhist
Anonymous:             0 kB
Swap:                  4 kB
02090000-02098000 r--p 01c90000 08:01 1234                               /opt/my tools/llmhist
Anonymous:             0 kB
02100000-02200000 rw-p 01d00000 08:01 1234                               /opt/my tools/llmhist
Anonymous:             0 kB
Swap:                  0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 99                         /lib/other
Anonymous:             0 kB
Swap:                  0 kB
7f0000001000-7f0000002000 r--p 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
`
	want := []addresses{{0x400000, 0xe01000}, {0x2000000, 0x2100000}}
	if got := unchangedParts(strings.NewReader(mappings), "/opt/my tools/llmhist"); !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestTheProgramRunsOnWhenItsPagesAreForgotten(t *testing.T) {
	before := ofFiles(t)
	forgetProgram()
	if after := ofFiles(t); after > before*2/3 {
		t.Errorf("%d KiB of files are in memory, %d before", after, before)
	}
}

// ofFiles returns how many KiB of mapped files this process has in memory.
func ofFiles(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
