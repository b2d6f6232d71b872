package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if requireAll() {
			t.Fatalf("LLMHIST_TEST_ALL requires root, who may mount a small disk: %v", err)
		}
		t.Skipf("SKIPPED: only root may mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space there is and returns how to give it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	_ = file.Close() // may fail: there is no space
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// writes are the requests that need space.
func writes(n int) map[string]object {
	return map[string]object{
		"/image/generate":  {"prompt": fmt.Sprint("sea ", n), "size": "64x64"},
		"/speech/generate": {"text": fmt.Sprint("Number ", n)},
		"/chat":            {"message": "How do I make an API key?"},
		"/auth/register":   {"email": fmt.Sprintf("new%d@example.com", n), "password": "a long password"},
	}
}

func TestAFullDiskRefusesWritesServesReadsAndHeals(t *testing.T) {
	dir := smallDisk(t, "96m")
	p := start(t, buildBinary(t), dir)
	defer func() { _ = p.kill(syscall.SIGTERM) }() // before the disk goes
	token := userToken(p, true)
	made := map[string]object{}
	for path, body := range writes(0) {
		made[path] = p.json("POST", path, token, body, map[bool]int{true: 200, false: 201}[path == "/chat"])
	}
	free := fill(t, dir)
	for round := 1; round <= 3; round++ {
		for path, body := range writes(round) {
			began := time.Now()
			status, data, err := p.send("POST", path, token, body)
			if err != nil || status != 507 || !bytes.Contains(data, []byte(`"storage_full"`)) || time.Since(began) > 10*time.Second {
				t.Errorf("%s: %d %v after %s: %.300s", path, status, err, time.Since(began), data)
			}
		}
	}
	image := p.json("GET", "/image/"+made["/image/generate"]["id"].(string), token, nil, 200)
	if status, data, err := p.send("GET", image["download_url"].(string), "", nil); err != nil || status != 200 || !bytes.HasPrefix(data, []byte("\x89PNG")) {
		t.Errorf("the picture while the disk is full: %d %v", status, err)
	}
	p.json("GET", "/chat/sessions/"+made["/chat"]["session_id"].(string), token, nil, 200)
	p.json("GET", "/users/me", token, nil, 200)

	free()
	for path, body := range writes(9) {
		p.json("POST", path, token, body, map[bool]int{true: 200, false: 201}[path == "/chat"])
	}
	if total := p.json("GET", "/image", token, nil, 200)["total"]; total != 2.0 {
		t.Errorf("%v images are listed, and 2 were acknowledged", total)
	}
	if total := p.json("GET", "/chat/sessions", token, nil, 200)["total"]; total != 2.0 {
		t.Errorf("%v chats are listed, and 2 were acknowledged", total)
	}
	checkIsClean(p, p.command.Path, dir)
	var counted any
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		usage := p.json("GET", "/analytics/user/me", token, nil, 200)
		if counted = usage["total_requests"]; counted == 15.0 { // three kinds in five rounds, refused ones too
			return
		}
	}
	t.Errorf("%v of 15 requests were counted after the disk had space again", counted)
}

// checkIsClean runs llmhist check beside the server, with no grace for anything
// unfinished: nothing is under way.
func checkIsClean(p *process, binary, dir string) {
	p.t.Helper()
	command := exec.Command(binary, "check", "--grace=0s")
	command.Env = append(os.Environ(), "DATA_DIR="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		p.t.Errorf("llmhist check: %v\n%s", err, out)
	}
}
