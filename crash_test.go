package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
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

// process is the real binary, serving from a data directory that survives it.
type process struct {
	t       *testing.T
	command *exec.Cmd
	url     string
	output  *safeBuffer
}

// compile builds the program as it is, once for all tests.
var compile = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "llmhist-test-*") // removed by TestMain
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "llmhist")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	compiledDir = dir
	return binary, nil
})

var compiledDir string

func buildBinary(t *testing.T) string {
	t.Helper()
	binary, err := compile()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func start(t *testing.T, binary, dir string, env ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.Command(binary, "serve"), output: &safeBuffer{}}
	p.command.Env = append(os.Environ(), append([]string{
		"PORT=0", "DATA_DIR=" + dir, "LOG_LEVEL=warn", "ADMIN_EMAIL=" + adminEmail, "ADMIN_PASSWORD=" + adminPassword,
		"RATE_LIMITS_AUTH_LOGIN=off", "RATE_LIMITS_AUTH_REGISTER=off", "RATE_LIMITS_IMAGE_GENERATE=off", "RATE_LIMITS_CHAT_MESSAGE=off", "RATE_LIMITS_ADMIN_ALL=off",
	}, env...)...)
	p.command.Stderr = p.output
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill(); _ = p.command.Wait() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, found := strings.Cut(lines.Text(), "is ready: "); found {
			p.url = url
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends with the process
			return p
		}
	}
	t.Fatalf("it did not start:\n%s", p.output)
	return nil
}

func (p *process) kill(signal syscall.Signal) error {
	_ = p.command.Process.Signal(signal)
	return p.command.Wait()
}

// send returns the answer, or an error when the process died meanwhile.
func (p *process) send(method, path, token string, body any) (int, []byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	if strings.HasPrefix(path, "/") {
		path = p.url + path
	}
	request, err := http.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	} else {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func (p *process) json(method, path, token string, body any, want int) object {
	p.t.Helper()
	status, data, err := p.send(method, path, token, body)
	if err != nil || status != want {
		p.t.Fatalf("%s %s: %d %v %.300s", method, path, status, err, data)
	}
	var members object
	if err := json.Unmarshal(data, &members); err != nil {
		p.t.Fatal(err)
	}
	return members
}

// TestNothingAcknowledgedIsLostToAKill kills the binary under sixteen writers
// over all modules, again and again, and holds what the next start shows against
// everything it acknowledged.
func TestNothingAcknowledgedIsLostToAKill(t *testing.T) {
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

func userToken(p *process, register bool) string {
	p.t.Helper()
	credentials := object{"email": "ada@example.com", "password": "password of ada"}
	if register {
		p.json("POST", "/auth/register", "", credentials, 201)
	}
	return p.json("POST", "/auth/login", "", credentials, 200)["accessToken"].(string)
}

// storedRequests reads the records and counts the index lines of a bucket. A
// request directory without a record is reported as one with none.
func storedRequests(t *testing.T, bucket string) (records map[string]object, lines map[string]int) {
	t.Helper()
	records, lines = map[string]object{}, map[string]int{}
	err := filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, "/record.json"):
			var record object
			if err := json.Unmarshal(data, &record); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			records[filepath.Base(filepath.Dir(path))] = record
		case strings.HasSuffix(path, "/input.json"):
			id := filepath.Base(filepath.Dir(path))
			if records[id] == nil {
				records[id] = object{}
			}
		case strings.HasSuffix(path, ".jsonl"):
			for line := range strings.Lines(string(data)) {
				var entry struct{ ID string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					return fmt.Errorf("%s: %w: %q", path, err, line)
				}
				lines[entry.ID]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, lines
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
