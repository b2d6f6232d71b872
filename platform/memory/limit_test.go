package memory

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestTheLowestLimitAroundTheProcessCounts(t *testing.T) {
	const v1 = "9:pids:/a\n4:memory:/docker/1f\n1:cpu,cpuacct:/a\n0::/\n"
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"version 2": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/llmhist.service\n", "sys/fs/cgroup/system.slice/llmhist.service/memory.max": "536870912\n",
			"sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 512 << 20},
		"version 2, the group around it is smaller": {map[string]string{
			"proc/self/cgroup": "0::/pod/one\n", "sys/fs/cgroup/pod/one/memory.max": "536870912\n", "sys/fs/cgroup/pod/memory.max": "268435456\n",
		}, 256 << 20},
		"version 2, in a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "104857600\n"}, 100 << 20},
		"version 2, outside of its namespace": {map[string]string{
			"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/other/memory.max": "104857600\n",
		}, 100 << 20},
		"version 1": {map[string]string{
			"proc/self/cgroup": v1, "sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": "104857600\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 100 << 20},
		"version 1, in a container that sees the host's path": {map[string]string{
			"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "104857600\n",
		}, 100 << 20},
		"version 1 without a limit":        {map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"version 2 without a limit":        {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		"a file that holds something else": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "0x10\n"}, 0},
		"a system without control groups":  {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range test.files {
				write(t, root, file, text)
			}
			if got := ofGroup(root); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func write(t *testing.T, root, file, text string) {
	t.Helper()
	file = filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheRuntimesLimitFollowsUnlessTheOperatorSetsOne(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	root := t.TempDir()
	write(t, root, "proc/self/cgroup", "0::/\n")
	write(t, root, "sys/fs/cgroup/memory.max", "1000000000\n")
	t.Setenv("GOMEMLIMIT", "123MiB")
	if got := follow(root); got != 0 || debug.SetMemoryLimit(-1) != before {
		t.Errorf("follow returned %d and the limit is %d, not %d", got, debug.SetMemoryLimit(-1), before)
	}
	t.Setenv("GOMEMLIMIT", "")
	if got := follow(root); got != 900_000_000 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("follow returned %d and the limit is %d", got, debug.SetMemoryLimit(-1))
	}
}
