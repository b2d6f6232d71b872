package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

type nothing struct{}

type whoami struct {
	UserID int64 `json:"user_id"`
}

func mountAccess(router *web.Router) {
	tell := web.JSON(http.StatusOK, func(ctx context.Context, _ nothing) (whoami, error) {
		return whoami{identity.From(ctx).UserID}, nil
	})
	for path, access := range map[string]web.Access{
		"/public": web.Public, "/optional": web.Optional, "/signed-in": web.SignedIn, "/admin": web.AdminOnly,
	} {
		router.Add(web.Route{Method: http.MethodGet, Path: path, Access: access, Handler: tell, Tag: "Test"})
	}
}

func TestAccessLevels(t *testing.T) {
	server := testkit.Serve(t, mountAccess)
	const broken = testkit.Caller("nobody knows")
	for path, want := range map[string]map[testkit.Caller]int{
		"/public":    {testkit.Nobody: 200, broken: 200, testkit.User(1): 200, testkit.Admin(2): 200},
		"/optional":  {testkit.Nobody: 200, broken: 401, testkit.User(1): 200, testkit.Admin(2): 200},
		"/signed-in": {testkit.Nobody: 401, broken: 401, testkit.User(1): 200, testkit.Admin(2): 200},
		"/admin":     {testkit.Nobody: 401, broken: 401, testkit.User(1): 403, testkit.Admin(2): 200},
	} {
		for caller, status := range want {
			answer := server.Do("GET", path, caller, nil)
			if answer.Status != status {
				t.Errorf("%s as %q: %d, want %d", path, caller, answer.Status, status)
			}
			if status == 401 && answer.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s as %q: 401 without WWW-Authenticate", path, caller)
			}
		}
	}
}

func TestARequestIDIsKeptWhenWellFormed(t *testing.T) {
	server := testkit.Serve(t, mountAccess)
	for given, kept := range map[string]bool{
		"client-id_1.2": true, "": false, "short": false, "with space 123": false,
		"<script>alert(1)</script>": false, strings.Repeat("a", 129): false,
	} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/public", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(web.RequestIDHeader, given)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		echoed := response.Header.Get(web.RequestIDHeader)
		if kept != (echoed == given) || echoed == "" {
			t.Errorf("%q came back as %q", given, echoed)
		}
	}
}

func TestAPanicIsA500ThatTellsNothing(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	e := echo.New()
	e.HTTPErrorHandler = web.ErrorHandler(logger)
	router := web.NewRouter(e)
	e.Use(web.RequestID(), web.AccessLog(logger), web.Recover())
	router.Add(web.Route{Method: http.MethodGet, Path: "/boom", Tag: "Test", Handler: web.Raw(func(echo.Context, nothing) error {
		panic("secret detail")
	})})
	recorder := httptest.NewRecorder()
	e.ServeHTTP(recorder, httptest.NewRequest("GET", "/boom?q=prompt", nil))
	if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "secret detail") {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
	if strings.Count(log.String(), "secret detail") != 1 || strings.Contains(log.String(), "prompt") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestAFailureAfterTheAnswerBeganIsOnlyLogged(t *testing.T) {
	server := testkit.Serve(t, func(router *web.Router) {
		router.Add(web.Route{Method: http.MethodGet, Path: "/stream", Tag: "Test", Handler: web.Raw(func(c echo.Context, _ nothing) error {
			stream := web.OpenEventStream(c)
			defer stream.Close()
			if err := stream.Send("start", whoami{1}); err != nil {
				return err
			}
			return fault.Wrap(errors.New("x"), fault.Internal, "internal", "after the start")
		})})
	})
	answer := server.Do("GET", "/stream", testkit.Nobody, nil)
	if answer.Status != 200 || string(answer.Body) != "event: start\ndata: {\"user_id\":1}\n\n" {
		t.Fatalf("%d %q", answer.Status, answer.Body)
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	next := make(chan struct{})
	server := testkit.Serve(t, func(router *web.Router) {
		router.Add(web.Route{Method: http.MethodGet, Path: "/stream", Tag: "Test", Handler: web.Raw(func(c echo.Context, _ nothing) error {
			stream := web.OpenEventStream(c)
			defer stream.Close()
			for range 3 {
				if err := stream.Send("", whoami{7}); err != nil {
					return err
				}
				<-next
			}
			return nil
		})})
	})
	request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	for range 3 { // each event must be here before the server is allowed to go on
		line, err := lines.ReadString('\n')
		if err != nil || line != "data: {\"user_id\":7}\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Fatalf("rest %q %v", rest, err)
	}
}

func TestHEADIsAnsweredWhereGETIs(t *testing.T) {
	server := testkit.Serve(t, mountAccess)
	for path, want := range map[string]int{"/public": 200, "/signed-in": 401} {
		got, head := server.Do("GET", path, testkit.Nobody, nil), server.Do("HEAD", path, testkit.Nobody, nil)
		if head.Status != want || got.Status != want || len(head.Body) != 0 || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("%s: GET %d, HEAD %d with %q", path, got.Status, head.Status, head.Body)
		}
	}
	if answer := server.Do("PUT", "/public", testkit.Nobody, nil); answer.Status != 405 || answer.Header.Get("Allow") != "OPTIONS, GET, HEAD" {
		t.Errorf("PUT: %d, Allow %q", answer.Status, answer.Header.Get("Allow"))
	}
}

func TestReadingWhatIsPublicAsksNobodyWhoThatIs(t *testing.T) {
	e := web.NewEcho(testkit.Logger(), nil)
	router := web.NewRouter(e)
	away := fault.New(fault.Unavailable, "database_unavailable", "away")
	asked := 0
	e.Use(web.Identify(func(*http.Request, string) (identity.Identity, error) { asked++; return identity.Identity{}, away }), web.RequireAccess())
	type nothing struct{}
	answer := web.JSON(http.StatusOK, func(context.Context, nothing) (nothing, error) { return nothing{}, nil })
	router.Add(
		web.Route{Method: http.MethodGet, Path: "/public", Access: web.Public, Handler: answer},
		web.Route{Method: http.MethodGet, Path: "/optional", Access: web.Optional, Handler: answer},
	)
	for path, want := range map[string]int{"/public": 200, "/optional": 503} {
		request := httptest.NewRequest("GET", path, nil)
		request.Header.Set("Authorization", "Bearer something")
		recorder := httptest.NewRecorder()
		e.ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("%s: %d, want %d", path, recorder.Code, want)
		}
	}
	if asked != 1 {
		t.Errorf("the accounts were asked %d times", asked)
	}
}
