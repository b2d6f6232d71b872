package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"llmhist/platform/database"
	"llmhist/platform/logging"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// testKey is the signing key of every test: making one takes long.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, minKeyBits)
	if err != nil {
		panic(err)
	}
	return key
})

func pemOf(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// house is the module on a real engine behind a real server with the real
// authentication.
type house struct {
	*Module
	t        testing.TB
	clock    *testkit.Clock
	db       *database.DB
	url      string
	document *huma.OpenAPI
	seen     *transcript
}

// transcript keeps everything that left the server.
type transcript struct {
	mu     sync.Mutex
	bodies bytes.Buffer
	log    bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *transcript) keep(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies.Write(body)
}

type setting func(*Config, *Deps)

func openHouse(t testing.TB, db *database.DB, settings ...setting) *house {
	t.Helper()
	clock, seen := testkit.NewClock(), &transcript{}
	logger, err := logging.New(seen, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, privateKeyFile), pemOf(t, testKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	deps := Deps{DB: db, DataDir: directory, Now: clock.Now, NewID: uid.New, Logger: logger}
	for _, set := range settings {
		set(&cfg, &deps)
	}
	module, err := New(t.Context(), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Module: module, t: t, clock: clock, db: db, seen: seen}
	h.serve(logger)
	return h
}

func (h *house) serve(logger *slog.Logger) {
	e := echo.New()
	e.HTTPErrorHandler = web.ErrorHandler(logger)
	router := web.NewRouter(e)
	e.Use(web.RequestID(), web.AccessLog(logger), namePattern, web.BodyLimit(), web.Identify(h.Authenticate), web.RequireAccess())
	h.Mount(router)
	h.document = router.OpenAPI(web.About{Title: "test", Version: "0", ServerURL: "http://test.invalid"})
	server := httptest.NewServer(e)
	h.t.Cleanup(server.Close)
	h.url = server.URL
}

// namePattern tells the test which route answered.
func namePattern(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("X-Pattern", c.Path())
		return next(c)
	}
}

// do sends a request and holds the answer against the OpenAPI document.
func (h *house) do(method, path, credential string, body any) testkit.Answer {
	h.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, h.url+path, bodyOf(h.t, body))
	if err != nil {
		h.t.Fatal(err)
	}
	request.Header.Set("User-Agent", "test-agent")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	h.seen.keep(data)
	answer := testkit.Answer{Status: response.StatusCode, Header: response.Header, Body: data}
	h.conforms(method, answer)
	return answer
}

func bodyOf(t testing.TB, body any) io.Reader {
	t.Helper()
	switch value := body.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(value)
	default:
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(data)
	}
}

func (h *house) conforms(method string, answer testkit.Answer) {
	h.t.Helper()
	pattern := answer.Header.Get("X-Pattern")
	item := h.document.Paths[strings.ReplaceAll(pattern, ":id", "{id}")]
	if item == nil {
		h.t.Fatalf("no path %q in the document", pattern)
	}
	op := map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete}[method]
	if op == nil {
		h.t.Fatalf("no %s %s in the document", method, pattern)
	}
	if err := web.Conforms(h.document, op, answer.Status, answer.Header.Get("Content-Type"), answer.Body); err != nil {
		h.t.Errorf("%v\n%s", err, answer.Body)
	}
}

// want sends a request and fails unless it is answered as wanted. code is "" for
// a success.
func (h *house) want(status int, code, method, path, credential string, body any) testkit.Answer {
	h.t.Helper()
	answer := h.do(method, path, credential, body)
	if answer.Status != status || answer.Code() != code {
		h.t.Fatalf("%s %s: got %d %q, want %d %q\n%s", method, path, answer.Status, answer.Code(), status, code, answer.Body)
	}
	return answer
}

const goodPassword = "correct horse battery"

// signedIn is one device of a user in a test.
type signedIn struct {
	id              int64
	access, refresh string
}

// member makes a user and signs in.
func (h *house) member(email string) signedIn {
	h.t.Helper()
	h.want(201, "", "POST", "/auth/register", "", map[string]string{"email": email, "password": goodPassword})
	return h.login(email, goodPassword)
}

// admin makes an administrator and signs in.
func (h *house) admin(email string) signedIn {
	h.t.Helper()
	if _, err := h.CreateAdmin(h.t.Context(), email, goodPassword, "The Boss"); err != nil {
		h.t.Fatal(err)
	}
	return h.login(email, goodPassword)
}

func (h *house) login(email, password string) signedIn {
	h.t.Helper()
	return deviceOf(h.t, h.want(200, "", "POST", "/auth/login", "", map[string]string{"email": email, "password": password}))
}

func deviceOf(t testing.TB, answer testkit.Answer) signedIn {
	t.Helper()
	var body struct {
		AccessToken, RefreshToken string
		User                      struct{ ID int64 }
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		t.Fatal(err)
	}
	return signedIn{id: body.User.ID, access: body.AccessToken, refresh: body.RefreshToken}
}

func (h *house) apiKey(device signedIn) string {
	h.t.Helper()
	answer := h.want(201, "", "POST", "/users/me/api-keys", device.access, map[string]string{"name": "a key"})
	return answer.JSON(h.t)["key"].(string)
}
