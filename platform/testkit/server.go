package testkit

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"llmhist/platform/identity"
	"llmhist/platform/web"
)

// Server serves a module's routes with the error handling and access rules of
// the product, but takes the caller from a header; see As.
type Server struct {
	*httptest.Server
	t testing.TB
}

// Serve starts a server for the routes that mount adds, with further middleware
// next to them.
func Serve(t testing.TB, mount func(router *web.Router), inside ...echo.MiddlewareFunc) *Server {
	t.Helper()
	e := web.NewEcho(Logger(), nil)
	router := web.NewRouter(e)
	e.Use(web.RequestID(), web.Recover(), web.BodyLimit(), web.Identify(authenticateByHeader), web.RequireAccess())
	e.Use(inside...)
	mount(router)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return &Server{Server: server, t: t}
}

// Caller names who makes a request in a test.
type Caller string

// Nobody is the anonymous caller.
const Nobody Caller = ""

// User is the signed-in user with this id.
func User(id int64) Caller { return Caller("user " + strconv.FormatInt(id, 10)) }

// Admin is the signed-in administrator with this id.
func Admin(id int64) Caller { return Caller("admin " + strconv.FormatInt(id, 10)) }

func authenticateByHeader(r *http.Request, credential string) (identity.Identity, error) {
	role, number, _ := strings.Cut(credential, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return identity.Identity{}, identity.SignInRequired()
	}
	return identity.Identity{UserID: id, Role: identity.Role(role)}, nil
}

// Answer is a response that was read completely.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request as the caller. A body that is not a string is sent as
// JSON; nil sends none. Redirects are not followed.
func (s *Server) Do(method, path string, as Caller, body any) Answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, encode(s.t, body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if as != Nobody {
		request.Header.Set("Authorization", "Bearer "+string(as))
	}
	response, err := s.client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: data}
}

func (s *Server) client() *http.Client {
	client := *s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

func encode(t testing.TB, body any) io.Reader {
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

// JSON returns the body as a JSON object.
func (a Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(a.Body, &members); err != nil {
		t.Fatalf("status %d, not a JSON object: %v\n%s", a.Status, err, a.Body)
	}
	return members
}

// Code returns the code of a problem document, or "".
func (a Answer) Code() string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.Body, &problem)
	return problem.Code
}
