package analytics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// recorderRig is the product's middleware chain around one accounted route.
type recorderRig struct {
	store  *fakeStore
	module *Module
	clock  *testkit.Clock
	echo   *echo.Echo
	logged strings.Builder
}

type storeOnly struct {
	Repository
	store *fakeStore
}

func (s storeOnly) Append(ctx context.Context, events []Event) error {
	return s.store.append(ctx, events)
}

func newRecorderRig(t testing.TB, recoverInside bool, serve echo.HandlerFunc) *recorderRig {
	t.Helper()
	rig := &recorderRig{store: &fakeStore{}, clock: testkit.NewClock(), echo: echo.New()}
	var err error
	rig.module, err = New(DefaultConfig(), Deps{
		Repository: storeOnly{store: rig.store}, OutboxDir: t.TempDir(), Logger: testkit.Logger(), Now: rig.clock.Now,
		CountUsers: func(context.Context) (int64, error) { return 0, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rig.module.Close(context.Background()) })
	rig.echo.HTTPErrorHandler = web.ErrorHandler(testkit.Logger())
	router := web.NewRouter(rig.echo)
	chain := []echo.MiddlewareFunc{web.RequestID(), rig.seen, web.Recover(), rig.module.Record()}
	if recoverInside {
		chain = []echo.MiddlewareFunc{web.RequestID(), rig.seen, rig.module.Record(), web.Recover()}
	}
	rig.echo.Use(append(chain, web.BodyLimit(), web.Timeout(), web.Identify(rigIdentity), web.RequireAccess(), limitHeader)...)
	handler := web.Raw(func(c echo.Context, _ struct{}) error { return serve(c) })
	router.Add(
		web.Route{Method: http.MethodPost, Path: "/chat", Handler: handler, Access: web.SignedIn, Service: "chat", Action: "message", MaxBody: 64},
		web.Route{Method: http.MethodPost, Path: "/image", Handler: handler, Access: web.Optional, Service: "image", Action: "generate"},
		web.Route{Method: http.MethodPost, Path: "/free", Handler: handler, Access: web.Public})
	return rig
}

// seen notes the errors that reach the outer layers.
func (r *recorderRig) seen(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err != nil {
			r.logged.WriteString(err.Error())
			c.Error(err)
		}
		return nil
	}
}

func rigIdentity(_ *http.Request, credential string) (identity.Identity, error) {
	if credential != "seven" {
		return identity.Identity{}, fault.New(fault.Unauthenticated, "invalid_token", "no")
	}
	return identity.Identity{UserID: 7, Role: identity.RoleUser}, nil
}

func limitHeader(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Header.Get("X-Over") != "" {
			return fault.New(fault.RateLimited, "rate_limited", "Slow down.")
		}
		return next(c)
	}
}

func (r *recorderRig) do(request *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	r.echo.ServeHTTP(answer, request)
	return answer
}

// recorded returns what was recorded, without the fields that differ each time.
func (r *recorderRig) recorded(t testing.TB) []Event {
	t.Helper()
	if err := r.module.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	var list []Event
	for _, batch := range r.store.batches {
		for _, e := range batch {
			if at, ok := uid.Time(e.ID); !ok || !at.Equal(e.At) {
				t.Errorf("id %s does not follow from %v", e.ID, e.At)
			}
			e.ID = ""
			list = append(list, e)
		}
	}
	return list
}

func request(path, token, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("X-Request-Id", "request-0001")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func TestEveryOutcomeIsRecorded(t *testing.T) {
	seven := int64(7)
	at := testkit.NewClock().Now()
	report := func(outcome string) func(c echo.Context) error {
		return func(c echo.Context) error {
			usage.Update(c.Request().Context(), func(f *usage.Figures) { f.Provider, f.Model, f.Outcome = "p", "m", outcome })
			return c.String(http.StatusOK, "stream")
		}
	}
	fail := func(err error) echo.HandlerFunc { return func(echo.Context) error { return err } }
	hangUp := func(r *http.Request) *http.Request {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		return r.WithContext(ctx)
	}
	for _, c := range []struct {
		name    string
		request *http.Request
		serve   echo.HandlerFunc
		status  int
		want    Event
	}{
		{"ok", request("/chat", "seven", ""), func(c echo.Context) error { return c.NoContent(http.StatusCreated) }, 201,
			Event{UserID: &seven, Status: StatusOK, HTTPStatus: 201}},
		{"anonymous", request("/image", "", ""), report(""), 200,
			Event{Service: "image", Action: "generate", Status: StatusOK, HTTPStatus: 200, Provider: "p", Model: "m"}},
		{"not signed in", request("/chat", "", ""), report(""), 401,
			Event{Status: StatusRefused, HTTPStatus: 401, Code: "authentication_required"}},
		{"a bad token", request("/image", "eight", ""), report(""), 401,
			Event{Service: "image", Action: "generate", Status: StatusRefused, HTTPStatus: 401, Code: "invalid_token"}},
		{"not valid", request("/chat", "seven", ""), fail(fault.New(fault.Invalid, "validation_failed", "no")), 422,
			Event{UserID: &seven, Status: StatusRefused, HTTPStatus: 422, Code: "validation_failed"}},
		{"too large", request("/chat", "seven", strings.Repeat("x", 65)), report(""), 413,
			Event{Status: StatusRefused, HTTPStatus: 413, Code: "body_too_large"}},
		{"over the rate limit", withHeader(request("/chat", "seven", ""), "X-Over", "1"), report(""), 429,
			Event{UserID: &seven, Status: StatusRefused, HTTPStatus: 429, Code: "rate_limited"}},
		{"the provider failed", request("/chat", "seven", ""), fail(fault.New(fault.BadUpstream, "provider_failed", "no")), 502,
			Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 502, Code: "provider_failed"}},
		{"an unknown error", request("/chat", "seven", ""), fail(errors.New("secret cause")), 500,
			Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 500, Code: "internal"}},
		{"a panic", request("/chat", "seven", ""), func(echo.Context) error { panic("boom") }, 500,
			Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 500, Code: "internal"}},
		{"a stream that failed", request("/chat", "seven", ""), report("provider_failed"), 200,
			Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 200, Code: "provider_failed", Provider: "p", Model: "m"}},
		{"a stream that was cancelled", request("/chat", "seven", ""), report("cancelled"), 200,
			Event{UserID: &seven, Status: StatusCancelled, HTTPStatus: 200, Code: "cancelled", Provider: "p", Model: "m"}},
		{"an error after the answer began", request("/chat", "seven", ""), func(c echo.Context) error {
			_ = c.Blob(http.StatusOK, "text/event-stream; charset=utf-8", []byte("begun"))
			return fault.New(fault.BadUpstream, "provider_failed", "no")
		}, 200, Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 200, Code: "provider_failed"}},
		{"the client is gone", hangUp(request("/chat", "seven", "")), func(c echo.Context) error { return c.Request().Context().Err() }, 499,
			Event{UserID: &seven, Status: StatusCancelled, HTTPStatus: 499, Code: "cancelled"}},
		{"the client is gone and broke the provider's call", hangUp(request("/chat", "seven", "")),
			fail(fault.New(fault.BadUpstream, "provider_failed", "no")), 502,
			Event{UserID: &seven, Status: StatusCancelled, HTTPStatus: 499, Code: "cancelled"}},
		{"refused while the client left", hangUp(request("/chat", "", "")), report(""), 401,
			Event{Status: StatusRefused, HTTPStatus: 401, Code: "authentication_required"}},
		{"our own timeout", request("/chat", "seven", ""), fail(context.DeadlineExceeded), 504,
			Event{UserID: &seven, Status: StatusFailed, HTTPStatus: 504, Code: "timeout"}},
	} {
		for order, recoverInside := range map[string]bool{"recover outside": false, "recover inside": true} {
			t.Run(c.name+", "+order, func(t *testing.T) {
				rig := newRecorderRig(t, recoverInside, c.serve)
				if answer := rig.do(c.request.Clone(c.request.Context())); answer.Code != c.status {
					t.Errorf("answered %d", answer.Code)
				}
				want := c.want
				want.At, want.RequestID = at, "request-0001"
				if want.Service == "" {
					want.Service, want.Action = "chat", "message"
				}
				if diff := cmp.Diff([]Event{want}, rig.recorded(t)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if c.name != "a panic" && rig.logged.Len() > 0 {
					t.Errorf("outer layers still saw %q", rig.logged.String())
				}
			})
		}
	}
}

func withHeader(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// watchedAnswer notes how many events were recorded when each piece of the
// answer is sent.
type watchedAnswer struct {
	*httptest.ResponseRecorder
	recorded func() int64
	counts   []int64
}

func (w *watchedAnswer) Write(p []byte) (int, error) {
	w.counts = append(w.counts, w.recorded())
	return w.ResponseRecorder.Write(p)
}

func TestAnEventIsRecordedBeforeTheEndOfItsAnswerIsSent(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve echo.HandlerFunc
		want  []int64
	}{
		{"an answer in one piece", func(c echo.Context) error { return c.Blob(http.StatusOK, "image/png", make([]byte, 100_000)) }, []int64{1}},
		{"a failure", func(echo.Context) error { return fault.New(fault.BadUpstream, "provider_failed", "no") }, []int64{1}},
		{"a stream", func(c echo.Context) error {
			stream := web.OpenEventStream(c)
			defer stream.Close()
			_ = stream.Send("delta", "x")
			usage.Complete(c.Request().Context())
			return stream.Send("done", "x")
		}, []int64{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig := newRecorderRig(t, true, c.serve)
			rig.store.fail = func(int, []Event) error { return down } // they stay where they are
			answer := &watchedAnswer{ResponseRecorder: httptest.NewRecorder(), recorded: func() int64 { return rig.module.Stats().Queued }}
			rig.echo.ServeHTTP(answer, request("/image", "", ""))
			if diff := cmp.Diff(c.want, answer.counts); diff != "" {
				t.Errorf("recorded by the time of each write (-want +got):\n%s", diff)
			}
			if n := rig.module.Stats().Queued; n != 1 {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestFiguresOfTheServiceAreRecorded(t *testing.T) {
	var rig *recorderRig
	rig = newRecorderRig(t, false, func(c echo.Context) error {
		rig.clock.Advance(120 * time.Millisecond)
		usage.Update(c.Request().Context(), func(f *usage.Figures) {
			*f = usage.Figures{Provider: "open\x00ai\xff", Model: strings.Repeat("é", 150), InputTokens: 3, OutputTokens: -4, Estimated: true,
				InputBytes: 5, OutputBytes: 6, CostUSD: 0.0000015, ObjectID: "made", FirstByte: rig.clock.Now()}
		})
		rig.clock.Advance(380 * time.Millisecond)
		return c.String(http.StatusOK, "x")
	})
	rig.do(request("/image", "", ""))
	ttft := int64(120)
	want := []Event{{At: testkit.NewClock().Now(), Service: "image", Action: "generate", RequestID: "request-0001", Status: StatusOK,
		Provider: "openai", Model: strings.Repeat("é", 100), LatencyMS: 500, TTFTMS: &ttft, InputTokens: 3, Estimated: true,
		InputBytes: 5, OutputBytes: 6, CostNanoUSD: 1500, HTTPStatus: 200, ObjectID: "made"}}
	if diff := cmp.Diff(want, rig.recorded(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOtherRoutesAreNotRecorded(t *testing.T) {
	rig := newRecorderRig(t, false, func(c echo.Context) error {
		usage.Update(c.Request().Context(), func(*usage.Figures) { t.Error("there is a record") })
		return fault.New(fault.Conflict, "conflict", "no")
	})
	for path, status := range map[string]int{"/free": 409, "/nothing": 404} {
		if answer := rig.do(request(path, "", "")); answer.Code != status {
			t.Errorf("%s answered %d", path, answer.Code)
		}
	}
	if list := rig.recorded(t); len(list) != 0 {
		t.Errorf("recorded %+v", list)
	}
}

func TestCostsThatMakeNoSenseAreBounded(t *testing.T) {
	zero := 0.0
	for usd, want := range map[float64]int64{0: 0, -1: 0, 0.1 + 0.2: 300_000_000, 1e300: 1e15, 1 / zero: 1e15, 4e-10: 0, 6e-10: 1} {
		if got := nanoUSD(usd); got != want {
			t.Errorf("%g USD: %d, want %d", usd, got, want)
		}
	}
	if got := nanoUSD(zero / zero); got != 0 {
		t.Errorf("NaN: %d", got)
	}
}
