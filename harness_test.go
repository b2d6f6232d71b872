package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"llmhist/config"
	"llmhist/platform/logging"
	"llmhist/platform/web"
)

// server is the product, booted as main boots it, on a free port with a data
// directory of its own. Every answer it gives is held against its OpenAPI
// document.
type server struct {
	t    *testing.T
	url  string
	app  *App
	log  *safeBuffer
	http *http.Client
	api  *huma.OpenAPI
	stop func()
}

const adminEmail, adminPassword = "admin@example.com", "the admin's password"

func boot(t *testing.T, adjust ...func(*config.Config)) *server {
	t.Helper()
	return bootIn(t, t.TempDir(), adjust...)
}

func bootIn(t *testing.T, dir string, adjust ...func(*config.Config)) *server {
	t.Helper()
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Port, cfg.Data.Dir = 0, dir
	cfg.Rate = config.Rate{} // off, but for the tests of limits
	cfg.JWT.PrivateKeyPath = sharedKey(t)
	cfg.Admin = config.Admin{Email: adminEmail, Password: adminPassword}
	for _, change := range adjust {
		change(&cfg)
	}
	log := &safeBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	logger, err := logging.New(log, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	app, err := Open(ctx, cfg, logger)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- app.Serve(ctx, func(context.Context) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	s := &server{t: t, url: app.PublicURL(), app: app, log: log, api: app.router.OpenAPI(about(app.PublicURL()))}
	s.http = &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.stop = sync.OnceFunc(func() {
		s.http.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// signingKey is made once: making one takes longer than most tests.
var signingKey = sync.OnceValues(func() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
})

func sharedKey(t *testing.T) string {
	t.Helper()
	der, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwt.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type safeBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

type object = map[string]any

// reply is an answer that was read completely.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (s *server) do(method, path, token string, body any) reply {
	s.t.Helper()
	var reader io.Reader
	switch value := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(value)
	default:
		data, err := json.Marshal(value)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = s.url + path
	}
	request, err := http.NewRequestWithContext(context.Background(), method, target, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := reply{t: s.t, status: response.StatusCode, header: response.Header, body: data}
	s.holdAgainstAPI(method, strings.TrimPrefix(target, s.url), r)
	return r
}

// holdAgainstAPI fails the test when an answer is not as the document says.
func (s *server) holdAgainstAPI(method, path string, r reply) {
	s.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	op := findOperation(s.api, method, path)
	if op == nil {
		return
	}
	if err := web.Conforms(s.api, op, r.status, r.header.Get("Content-Type"), r.body); err != nil {
		s.t.Errorf("not as openapi.json says: %v\n%.300s", err, r.body)
	}
}

func findOperation(api *huma.OpenAPI, method, path string) *huma.Operation {
	var item *huma.PathItem
	if exact, ok := api.Paths[path]; ok {
		item = exact
	} else {
		for pattern, candidate := range api.Paths {
			if matches(pattern, path) {
				item = candidate
			}
		}
	}
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete}[method]
}

func matches(pattern, path string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

// want fails the test unless the answer has this status, and returns its JSON
// object.
func (r reply) want(status int) object {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %.500s", r.status, status, r.body)
	}
	var members object
	if len(r.body) > 0 && strings.Contains(r.header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(r.body, &members); err != nil {
			r.t.Fatalf("not JSON: %v: %.500s", err, r.body)
		}
	}
	return members
}

func (r reply) code() string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(r.body, &problem)
	return problem.Code
}

func (s *server) signIn(email, password string) (access, refresh string) {
	s.t.Helper()
	session := s.do("POST", "/auth/login", "", object{"email": email, "password": password}).want(200)
	return session["accessToken"].(string), session["refreshToken"].(string)
}

// newUser registers and signs in.
func (s *server) newUser(name string) (token string, id int64) {
	s.t.Helper()
	email := name + "@example.com"
	account := s.do("POST", "/auth/register", "", object{"email": email, "password": "password of " + name}).want(201)
	token, _ = s.signIn(email, "password of "+name)
	return token, int64(account["id"].(float64))
}

func (s *server) admin() string {
	s.t.Helper()
	token, _ := s.signIn(adminEmail, adminPassword)
	return token
}

func list(value any) []object {
	items := []object{}
	for _, item := range value.([]any) {
		items = append(items, item.(object))
	}
	return items
}

// within polls for what becomes true by itself.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %s: %s", limit, what)
		}
	}
}
