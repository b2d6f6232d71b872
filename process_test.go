package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
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
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released; the race detector needs cgo, and almost everything would be compiled again with it
	if out, err := build.CombinedOutput(); err != nil {
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

func userToken(p *process, register bool) string {
	p.t.Helper()
	credentials := object{"email": "ada@example.com", "password": "password of ada"}
	if register {
		p.json("POST", "/auth/register", "", credentials, 201)
	}
	return p.json("POST", "/auth/login", "", credentials, 200)["accessToken"].(string)
}
