package memory

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetProgram takes the pages of the program's own file out of the process. They
// stay in the system's cache of files, from where those that are needed again come
// back by themselves, some microseconds each. To start touches most of them: tables
// and initial code of every package, of which serving needs few.
func forgetProgram() {
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // no /proc: they stay
	}
	mappings, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = mappings.Close() }()
	for _, part := range unchangedParts(mappings, own) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, part.from, part.to-part.from, unix.MADV_DONTNEED)
	}
}

// addresses are those from from up to to.
type addresses struct{ from, to uintptr }

// unchangedParts returns where a file is mapped into memory for nothing but reading
// and execution, and nothing in memory or swapped out differs from the file, as
// relocations and a debugger's breakpoints do: that would be lost. mappings is in the
// format of smaps, proc_pid_smaps(5), where Swap comes after Anonymous.
func unchangedParts(mappings io.Reader, file string) (parts []addresses) {
	var part addresses
	ofFile, changed := false, false
	lines := bufio.NewScanner(mappings)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"):
			_, err := fmt.Sscanf(fields[0], "%x-%x", &part.from, &part.to)
			changed = false
			ofFile = err == nil && strings.HasSuffix(lines.Text(), " "+file) && !strings.Contains(fields[1], "w")
		case len(fields) < 2 || fields[0] != "Anonymous:" && fields[0] != "Swap:":
		case fields[1] != "0":
			changed = true
		case ofFile && !changed && fields[0] == "Swap:":
			parts = append(parts, part)
		}
	}
	return parts
}
