package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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

// TestNothingAcknowledgedIsLostToAKill kills the binary in the middle of many
// requests, again and again, and looks at what the next start makes of it.
func TestNothingAcknowledgedIsLostToAKill(t *testing.T) {
	binary, dir := buildBinary(t), t.TempDir()
	images, answers := map[string]bool{}, map[string]string{}
	cycles := 4
	if requireAll() {
		cycles = 12
	}
	var token string
	for cycle := range cycles {
		p := start(t, binary, dir)
		token = userToken(p, cycle == 0)
		checkAcknowledged(p, token, images, answers)
		writeUntilKilled(p, token, images, answers)
	}
	p := start(t, binary, dir)
	token = userToken(p, false)
	checkAcknowledged(p, token, images, answers)
	checkNothingHalf(p, token, binary, dir)
	if len(images) == 0 || len(answers) == 0 {
		t.Fatalf("nothing was acknowledged before the kills: %d images, %d answers", len(images), len(answers))
	}
	t.Logf("%d kills, %d acknowledged images, %d acknowledged answers", cycles, len(images), len(answers))
	if err := p.kill(syscall.SIGTERM); err != nil {
		t.Errorf("a graceful stop ends with %v\n%s", err, p.output)
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

// writeUntilKilled makes images and chats from 16 writers and kills the process
// at a random moment. It adds what was acknowledged.
func writeUntilKilled(p *process, token string, images map[string]bool, answers map[string]string) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for writer := range 16 {
		group.Go(func() {
			for {
				var path string
				var body object
				if writer%4 == 0 {
					path, body = "/chat", object{"message": fmt.Sprintf("What is the data directory? %d", writer)}
				} else {
					path, body = "/image/generate", object{"prompt": fmt.Sprintf("sea %d", writer), "size": "64x64", "style": "pixel"}
				}
				status, data, err := p.send("POST", path, token, body)
				if err != nil {
					return
				}
				var made object
				if json.Unmarshal(data, &made) != nil || status >= 300 {
					p.t.Errorf("%s: %d %.200s", path, status, data)
					return
				}
				mu.Lock()
				if path == "/chat" {
					answers[made["message_id"].(string)] = made["session_id"].(string)
				} else {
					images[made["id"].(string)] = true
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(100*time.Millisecond + rand.N(400*time.Millisecond)) // the moment of the kill is the point of this test
	_ = p.kill(syscall.SIGKILL)
	group.Wait()
}

func checkAcknowledged(p *process, token string, images map[string]bool, answers map[string]string) {
	p.t.Helper()
	for id := range images {
		image := p.json("GET", "/image/"+id, token, nil, 200)
		if image["status"] != "completed" {
			p.t.Fatalf("acknowledged image %s is %v", id, image["status"])
		}
		status, data, err := p.send("GET", image["download_url"].(string), "", nil)
		if err != nil || status != 200 || !bytes.HasPrefix(data, []byte("\x89PNG")) || !bytes.HasSuffix(data, []byte("IEND\xaeB`\x82")) {
			p.t.Fatalf("acknowledged image %s: %d, %d bytes, %v", id, status, len(data), err)
		}
	}
	for message, session := range answers {
		var kept object
		for _, stored := range list(p.json("GET", "/chat/sessions/"+session, token, nil, 200)["messages"]) {
			if stored["id"] == message {
				kept = stored
			}
		}
		if kept["status"] != "completed" || kept["content"] == "" {
			p.t.Fatalf("acknowledged answer %s is %v", message, kept)
		}
	}
}

// checkNothingHalf looks for images that have not ended, and lets llmhist check
// compare rows, records, pictures, index lines, sessions and sums.
func checkNothingHalf(p *process, token, binary, dir string) {
	p.t.Helper()
	listed, interrupted := 0, 0
	for page := 1; ; page++ {
		images := list(p.json("GET", fmt.Sprintf("/image?per_page=100&page=%d", page), token, nil, 200)["images"])
		if len(images) == 0 {
			break
		}
		for _, image := range images {
			listed++
			switch image["status"] {
			case "completed":
			case "failed", "cancelled":
				one := p.json("GET", "/image/"+image["id"].(string), token, nil, 200)
				if fault, _ := one["error"].(object); one["status"] == "failed" && fault["code"] != "interrupted" {
					p.t.Errorf("image %s failed with %v", one["id"], one["error"])
				}
				interrupted++
			default:
				p.t.Errorf("image %s is still %v", image["id"], image["status"])
			}
		}
	}
	checkIsClean(p, binary, dir)
	p.t.Logf("%d images listed, %d of them interrupted", listed, interrupted)
}

// checkIsClean runs llmhist check beside the server, with no grace for anything
// unfinished: nothing is under way.
func checkIsClean(p *process, binary, dir string) {
	p.t.Helper()
	command := exec.Command(binary, "check", "--grace=0s")
	command.Env = append(os.Environ(), "DATA_DIR="+dir)
	out, err := command.CombinedOutput()
	if err != nil {
		p.t.Errorf("llmhist check: %v\n%s", err, out)
		return
	}
	p.t.Logf("llmhist check:\n%s", out)
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
