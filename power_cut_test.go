//go:build !race

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEverythingIsOnTheDiskBeforeItIsAcknowledged watches the system calls of
// the binary: when an answer goes out, no file that was written, and no
// directory whose entries changed, may wait for its sync. That is what a power
// cut asks for and a kill cannot show.
func TestEverythingIsOnTheDiskBeforeItIsAcknowledged(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil && requireAll() {
		t.Fatal("strace is missing: tools/with-programs.sh installs it")
	}
	if err != nil {
		t.Skip("SKIPPED: no strace")
	}
	dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	traced := filepath.Join(t.TempDir(), "traced")
	script := fmt.Sprintf("#!/bin/sh\nexec %s -D -f -y -s 16 -e trace=%s -o %s %s \"$@\"\n", strace,
		"openat,write,writev,pwrite64,ftruncate,rename,renameat,renameat2,linkat,unlinkat,mkdirat,fsync,fdatasync", trace, buildBinary(t))
	if err := os.WriteFile(traced, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, traced, dir)
	time.Sleep(3 * jobsAfter) // the jobs begin with writes of their own, which no answer waits for
	token := userToken(p, true)
	settle := func() { p.json("GET", "/analytics/user/me", token, nil, 200) } // events, which are written later, are written now
	for range 3 {
		image := p.json("POST", "/image/generate", token, object{"prompt": "sea", "size": "64x64", "style": "pixel"}, 201)
		settle()
		p.json("POST", "/chat", token, object{"message": "What is the data directory?"}, 200)
		settle()
		p.json("POST", "/users/me/api-keys", token, object{"name": "key"}, 201)
		if status, data, err := p.send("DELETE", "/image/"+image["id"].(string), token, nil); status != 204 {
			t.Fatalf("%d %s %v", status, data, err)
		}
	}
	p.json("POST", "/speech/generate", token, object{"text": "Hi."}, 201)
	settle()
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	answers := heldAgainstSyncs(t, trace, dir)
	if answers < 20 {
		t.Errorf("only %d answers were seen in the trace", answers)
	}
}

var (
	onFile    = regexp.MustCompile(`^(write|writev|pwrite64|ftruncate|fsync|fdatasync)\(\d+<([^>]*)>`)
	onName    = regexp.MustCompile(`^(openat|rename|renameat|renameat2|linkat|unlinkat|mkdirat)\(`)
	quoted    = regexp.MustCompile(`"([^"]*)"`)
	answered  = regexp.MustCompile(`^write\(\d+<[^>]*>, "HTTP/1.1 2\d\d`)
	unsettled = " <unfinished ...>"
)

// heldAgainstSyncs reads a trace and returns how many answers of success it has.
func heldAgainstSyncs(t *testing.T, trace, dir string) (answers int) {
	t.Helper()
	file, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	waits := dirty{dir: dir, paths: map[string]bool{}}
	begun := map[string]string{} // by thread
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		thread, call, _ := strings.Cut(lines.Text(), " ")
		call = strings.TrimSpace(call)
		if answered.MatchString(call) {
			answers++
			for path := range waits.paths {
				t.Errorf("answer %d goes out before %s is synced", answers, strings.TrimPrefix(path, dir))
			}
		}
		if head, cut := strings.CutSuffix(call, unsettled); cut {
			begun[thread] = head
			waits.begin(head)
			continue
		}
		if rest, resumed := strings.CutPrefix(call, "<... "); resumed {
			_, rest, _ = strings.Cut(rest, "resumed>")
			call = begun[thread] + rest
		}
		waits.begin(call)
		waits.end(call)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return answers
}

// dirty is what was written and not synced yet.
type dirty struct {
	dir   string
	paths map[string]bool
}

// matters reports whether a path belongs to what is kept: the objects and the
// log of the database, into which every commit goes.
func (d dirty) matters(path string) bool {
	return !strings.Contains(path, "/.tmp") && (strings.HasPrefix(path, d.dir+"/objects/") || path == d.dir+"/llmhist.db-wal")
}

// begin takes what a call may have changed as soon as it began.
func (d dirty) begin(call string) {
	if found := onFile.FindStringSubmatch(call); found != nil && !strings.HasSuffix(found[1], "sync") {
		d.mark(found[2])
	}
}

func (d dirty) mark(path string) {
	if d.matters(path) || strings.Contains(path, "/.tmp/") && strings.HasPrefix(path, d.dir) {
		d.paths[path] = true
	}
}

// end takes what a call has done.
func (d dirty) end(call string) {
	if found := onFile.FindStringSubmatch(call); found != nil {
		if strings.HasSuffix(found[1], "sync") && strings.Contains(call, "= 0") {
			delete(d.paths, found[2])
		}
		return
	}
	found := onName.FindStringSubmatch(call)
	if found == nil || strings.Contains(call, " = -1 ") {
		return
	}
	var names []string
	for _, name := range quoted.FindAllStringSubmatch(call, -1) {
		names = append(names, name[1])
	}
	if len(names) == 0 {
		return
	}
	d.named(found[1], call, names)
}

func (d dirty) named(kind, call string, names []string) {
	last := names[len(names)-1]
	switch kind {
	case "openat":
		if _, known := d.paths[last]; known || !strings.Contains(call, "O_CREAT") || !strings.HasSuffix(last, ".jsonl") {
			return
		}
	case "rename", "renameat", "renameat2", "linkat":
		if d.paths[names[0]] && d.matters(last) {
			d.paths[last] = true
		}
		delete(d.paths, names[0])
	case "unlinkat":
		delete(d.paths, last)
	}
	if d.matters(last) {
		d.paths[filepath.Dir(last)] = true
	}
	if kind == "unlinkat" && strings.Contains(call, "AT_REMOVEDIR") {
		delete(d.paths, last) // an empty directory has nothing to keep
		delete(d.paths, filepath.Dir(last))
	}
}
