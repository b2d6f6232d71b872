package memory

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// share of the control group's limit is for what the runtime counts. SQLite's
// memory, programs that are called and the kernel's part have the rest.
const share = 0.9

// FollowGroup lets the runtime know how much memory its control group allows, so
// that the garbage collector works harder near the limit instead of the kernel
// ending the process. It sets the runtime's limit to nine tenths of the control group's and
// returns it. It returns 0 and sets nothing where GOMEMLIMIT says what to do, or
// no control group (v1 or v2) has a limit.
func FollowGroup() int64 { return follow("/") }

func follow(root string) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := int64(share * float64(ofGroup(root)))
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	return limit
}

// ofGroup returns the lowest memory limit of the control group this process is
// in and of those around it, or 0. root is that of the file system. In a container
// without a namespace of its own the group's path is the host's, which is not
// there, and the container's group is at the top.
func ofGroup(root string) int64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	lowest := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		dir, file := "sys/fs/cgroup", "memory.max"
		switch controllers {
		case "": // v2
		case "memory":
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group = path.Join("/", group); ; group = path.Dir(group) {
			lowest = min(lowest, limitIn(filepath.Join(root, dir, group, file)))
			if group == "/" {
				break
			}
		}
	}
	if lowest >= 1<<60 { // what v1 says where there is no limit
		return 0
	}
	return lowest
}

// limitIn returns the number in a file, or the largest there is.
func limitIn(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return math.MaxInt64
	}
	number, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || number <= 0 { // "max"
		return math.MaxInt64
	}
	return number
}
