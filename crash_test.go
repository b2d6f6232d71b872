//go:build !race

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llmhist/bench/crash"
)

// TestNothingAcknowledgedIsLostToAKill kills the binary under sixteen writers
// over all modules, again and again, and holds what the next start shows against
// everything it acknowledged.
func TestNothingAcknowledgedIsLostToAKill(t *testing.T) {
	t.Parallel() // beside those that wait
	cycles := 4
	if requireAll() {
		cycles = 100
	}
	r := openCrash(t, nil, 25)
	for range cycles {
		if err := r.KillCycle(); err != nil {
			t.Fatal(err)
		}
	}
	finishCrash(t, r)
	if !requireAll() {
		return
	}
	for _, kind := range crash.Kinds {
		if r.Acknowledged(kind) == 0 {
			t.Errorf("%d kills, and not one %s was acknowledged", cycles, kind)
		}
	}
}

func openCrash(t *testing.T, larger *crash.Larger, fullEvery int) *crash.Run {
	t.Helper()
	r, err := crash.Open(crash.Options{Binary: buildBinary(t), Dir: t.TempDir(), Larger: larger, FullEvery: fullEvery, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// finishCrash verifies everything and reports what does not hold.
func finishCrash(t *testing.T, r *crash.Run) {
	t.Helper()
	if err := r.Finish(); err != nil {
		t.Error(err)
	}
	reportCrash(t, r)
}

func reportCrash(t *testing.T, r *crash.Run) {
	t.Helper()
	t.Log(r.Report())
	if n := len(r.Violations()); n > 0 {
		t.Errorf("%d violations", n)
	}
}

func TestFiftyImagesAtOnce(t *testing.T) {
	binary, dir := buildBinary(t), t.TempDir()
	p := start(t, binary, dir)
	token := userToken(p, true)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if status, data, err := p.send("POST", "/image/generate", token, object{"prompt": fmt.Sprint("cat ", i), "size": "64x64"}); err != nil || status != 201 {
				t.Errorf("%d %v %.200s", status, err, data)
			}
		})
	}
	group.Wait()
	if usage := p.json("GET", "/analytics/user/me", token, nil, 200); usage["successful_requests"] != 50.0 {
		t.Errorf("analytics counted %v", usage["successful_requests"])
	}
	records, lines := storedRequests(t, filepath.Join(dir, "objects", "llmhist-image-dev"))
	if total := p.json("GET", "/image", token, nil, 200)["total"]; total != 50.0 || len(records) != 50 || len(lines) != 50 {
		t.Errorf("%v rows, %d records, %d index lines", total, len(records), len(lines))
	}
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Errorf("a graceful stop ends with %v\n%s", err, p.output)
	}
}

func TestAStartThatCannotWorkSaysWhy(t *testing.T) {
	binary, dir := buildBinary(t), t.TempDir()
	serving := start(t, binary, dir)
	port := serving.url[strings.LastIndexByte(serving.url, ':')+1:]
	badKey := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(badKey, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	badFile := filepath.Join(t.TempDir(), "llmhist.yaml")
	if err := os.WriteFile(badFile, []byte("port: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a data directory in use":   {[]string{"DATA_DIR=" + dir, "PORT=0"}, nil, "in use by another llmhist (process "},
		"a busy port":               {[]string{"DATA_DIR=" + t.TempDir(), "PORT=" + port}, nil, "address already in use"},
		"a broken config":           {[]string{"DATA_DIR=" + t.TempDir()}, []string{"--config", badFile}, badFile},
		"an unreadable key":         {[]string{"DATA_DIR=" + t.TempDir(), "PORT=0", "JWT_PRIVATE_KEY_PATH=" + badKey}, nil, badKey},
		"an absent key":             {[]string{"DATA_DIR=" + t.TempDir(), "PORT=0", "JWT_PRIVATE_KEY_PATH=/absent.pem"}, nil, "/absent.pem"},
		"an unknown provider":       {[]string{"DATA_DIR=" + t.TempDir(), "PORT=0", "CHAT_PROVIDERS=nobody"}, nil, "CHAT_PROVIDERS"},
		"an unreachable PostgreSQL": {[]string{"DATA_DIR=" + t.TempDir(), "PORT=0", "DATABASE_URL=postgres://me:hidden@127.0.0.1:1/x"}, nil, "PostgreSQL"},
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.Command(binary, append([]string{"serve"}, test.args...)...)
			command.Env = append(os.Environ(), test.env...)
			began := time.Now()
			out, err := command.CombinedOutput()
			text := strings.TrimSpace(string(out))
			if err == nil || !strings.Contains(text, test.want) || strings.Contains(text, "\n") || strings.Contains(text, "hidden") {
				t.Errorf("exit %v, said:\n%s", err, text)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

func TestACopyMadeUnderLoadHasEverythingAcknowledgedBefore(t *testing.T) {
	copies := 1
	if requireAll() {
		copies = 5
	}
	for range copies {
		r := openCrash(t, nil, 0)
		if err := r.KillCycle(); err != nil {
			t.Fatal(err)
		}
		if err := r.CopyAndLook(filepath.Join(t.TempDir(), "copy")); err != nil {
			t.Fatal(err)
		}
		reportCrash(t, r)
	}
}

func TestWhatALeavingClientSawIsTheBeginningOfWhatIsKept(t *testing.T) {
	leavers := 20
	if requireAll() {
		leavers = 300
	}
	r := openCrash(t, nil, 0)
	if err := r.LeaveStreams(leavers, time.Minute); err != nil {
		t.Error(err)
	}
	if n := r.Acknowledged("left stream"); n < leavers {
		t.Errorf("only %d clients left", n)
	}
	reportCrash(t, r)
}
