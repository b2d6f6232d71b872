package idempotency_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/idempotency"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

var alice, bob, root = testkit.User(1), testkit.User(2), testkit.Admin(3)

// fixture is a server that makes something, once for each key.
type fixture struct {
	*testkit.Server
	guard *idempotency.Guard
	clock *testkit.Clock
	made  atomic.Int64
	serve func(c echo.Context, n int64) error
}

type makeInput struct {
	Prompt string `json:"prompt"`
}

func serve(t *testing.T, db *database.DB, instance string) *fixture {
	t.Helper()
	f := &fixture{clock: testkit.NewClock()}
	f.guard = &idempotency.Guard{Store: idempotency.NewStore(db), Logger: testkit.Logger(), Now: f.clock.Now, Instance: instance,
		Living: func(context.Context) (map[string]bool, error) { return map[string]bool{"one": true, "two": true}, nil }}
	f.serve = func(c echo.Context, n int64) error {
		c.Response().Header().Set("Location", fmt.Sprint("/made/", n))
		return web.WriteRawJSON(c, http.StatusCreated, fmt.Appendf(nil, `{"n":%d}`, n))
	}
	f.Server = testkit.Serve(t, func(router *web.Router) {
		handler := web.Raw(func(c echo.Context, _ makeInput) error { return f.serve(c, f.made.Add(1)) })
		for _, path := range []string{"/make", "/make/other"} {
			router.Add(web.Route{Method: http.MethodPost, Path: path, Handler: handler, Access: web.Optional, Service: "chat", Action: "x"})
		}
		router.Add(
			web.Route{Method: http.MethodPost, Path: "/free", Handler: handler, Access: web.Optional},
			web.Route{Method: http.MethodDelete, Path: "/made", Access: web.SignedIn, Handler: web.NoContent(func(context.Context, struct{}) error { return nil })},
		)
	}, f.guard.Middleware())
	return f
}

// send sends a request with a key and returns its answer in short.
func (f *fixture) send(t *testing.T, as testkit.Caller, path, key, prompt string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+path, strings.NewReader(`{"prompt":"`+prompt+`"}`))
	if err != nil {
		t.Error(err)
		return ""
	}
	request.Header.Set("Content-Type", "application/json")
	if as != testkit.Nobody {
		request.Header.Set("Authorization", "Bearer "+string(as))
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := f.Client().Do(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
		return ""
	}
	short := fmt.Sprint(response.StatusCode, " ", string(body))
	if _, code, found := strings.Cut(string(body), `"code":"`); found {
		code, _, _ = strings.Cut(code, `"`)
		short = fmt.Sprint(response.StatusCode, " ", code)
	}
	if location := response.Header.Get("Location"); location != "" {
		short += " " + location
	}
	if response.Header.Get("Idempotency-Replayed") == "true" {
		short += " again"
	}
	return short
}

func each(t *testing.T, test func(t *testing.T, f *fixture)) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) { test(t, serve(t, db, "one")) })
}

func want(t *testing.T, got, expected string) {
	t.Helper()
	if got != expected {
		t.Errorf("got %q, want %q", got, expected)
	}
}

func TestARequestOfAKeyIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":1} /made/1`)
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":1} /made/1 again`)
		want(t, f.send(t, alice, "/make", "k", "b"), "422 idempotency_key_reused")
		want(t, f.send(t, alice, "/make/other", "k", "a"), "422 idempotency_key_reused")
		want(t, f.send(t, bob, "/make", "k", "a"), `201 {"n":2} /made/2`)
		want(t, f.send(t, alice, "/make", "l", "a"), `201 {"n":3} /made/3`)
		want(t, f.send(t, alice, "/make", "", "a"), `201 {"n":4} /made/4`)
		want(t, f.send(t, alice, "/free", "k", "b"), `201 {"n":5} /made/5`)
		f.clock.Advance(idempotency.Life - time.Minute)
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":1} /made/1 again`)
		f.clock.Advance(2 * time.Minute)
		want(t, f.send(t, alice, "/make", "k", "b"), `201 {"n":6} /made/6`)
	})
}

func TestBadKeysAndStrangersAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		want(t, f.send(t, alice, "/make", strings.Repeat("k", 256), "a"), "400 invalid_idempotency_key")
		want(t, f.send(t, alice, "/make", "a b", "a"), "400 invalid_idempotency_key")
		want(t, f.send(t, alice, "/make", "schlüssel", "a"), "400 invalid_idempotency_key")
		want(t, f.send(t, testkit.Nobody, "/make", "k", "a"), "401 authentication_required")
		want(t, f.send(t, alice, "/make", strings.Repeat("k", 255), "a"), `201 {"n":1} /made/1`)
	})
}

func TestAKeyCanBeUsedAgainAfterAFailure(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		well := f.serve
		f.serve = func(echo.Context, int64) error { return fault.New(fault.Unavailable, "down", "It is down.") }
		want(t, f.send(t, alice, "/make", "k", "a"), "503 down")
		f.serve = func(echo.Context, int64) error { panic("a defect") }
		want(t, f.send(t, alice, "/make", "k", "a"), "500 internal")
		f.serve = well
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":3} /made/3`)
	})
}

func TestOneOfManyAtOnceIsDone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		well, release := f.serve, make(chan struct{})
		f.serve = func(c echo.Context, n int64) error {
			<-release
			return well(c, n)
		}
		answers := make(chan string, 20)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { answers <- f.send(t, alice, "/make", "k", "a") })
		}
		for range 19 {
			want(t, <-answers, "409 idempotency_in_progress")
		}
		close(release)
		all.Wait()
		want(t, <-answers, `201 {"n":1} /made/1`)
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":1} /made/1 again`)
	})
}

func TestWhatADeadServerLeftIsDoneAgain(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		var left sync.WaitGroup
		end := make(chan struct{})
		begin := func(instance, key string) {
			other := serve(t, db, instance)
			started := make(chan struct{})
			other.serve = func(echo.Context, int64) error {
				close(started)
				<-end
				return nil
			}
			left.Go(func() { other.send(t, alice, "/make", key, "a") })
			<-started
		}
		f := serve(t, db, "one")
		begin("two", "living")
		begin("dead", "dead")
		begin("one", "earlier")
		want(t, f.send(t, alice, "/make", "living", "a"), "409 idempotency_in_progress")
		want(t, f.send(t, alice, "/make", "dead", "a"), `201 {"n":1} /made/1`)
		want(t, f.send(t, alice, "/make", "earlier", "a"), `201 {"n":2} /made/2`)
		want(t, f.send(t, alice, "/make", "dead", "a"), `201 {"n":1} /made/1 again`)
		f.clock.Advance(time.Hour)
		want(t, f.send(t, alice, "/make", "living", "a"), `201 {"n":3} /made/3`)
		close(end)
		left.Wait()
	})
}

func TestAStreamGoesOnAtOnceAndIsRepeatedWhole(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		step := make(chan struct{})
		f.serve = func(c echo.Context, _ int64) error {
			events := web.OpenEventStream(c)
			defer events.Close()
			for _, part := range []string{"one", "two"} {
				if err := events.SendData([]byte(part)); err != nil {
					return err
				}
				<-step
			}
			return nil
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/make", strings.NewReader(`{"prompt":"a"}`))
		if err != nil {
			t.Error(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+string(alice))
		request.Header.Set("Idempotency-Key", "k")
		response, err := f.Client().Do(request)
		if err != nil {
			t.Error(err)
		}
		first := make([]byte, len("data: one\n\n"))
		if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "data: one\n\n" {
			t.Fatalf("%q %v", first, err)
		}
		want(t, f.send(t, alice, "/make", "k", "a"), "409 idempotency_in_progress")
		step <- struct{}{}
		step <- struct{}{}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(err)
		}
		_ = response.Body.Close()
		want(t, f.send(t, alice, "/make", "k", "a"), "200 data: one\n\ndata: two\n\n again")
	})
}

func TestWhatIsDeletedIsNotRepeated(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.send(t, alice, "/make", "k", "a")
		f.send(t, bob, "/make", "k", "a")
		f.Do("DELETE", "/made", alice, nil)
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":3} /made/3`)
		want(t, f.send(t, bob, "/make", "k", "a"), `201 {"n":2} /made/2 again`)
		f.Do("DELETE", "/made", root, nil)
		want(t, f.send(t, bob, "/make", "k", "a"), `201 {"n":4} /made/4`)
		if err := f.guard.Store.EraseUser(t.Context(), 2); err != nil {
			t.Error(err)
		}
		want(t, f.send(t, bob, "/make", "k", "a"), `201 {"n":5} /made/5`)
		want(t, f.send(t, alice, "/make", "k", "a"), `201 {"n":6} /made/6`) // root's deletion took it too
		if err := f.guard.Store.Prune(t.Context(), f.clock.Now().Add(idempotency.Life+time.Second)); err != nil {
			t.Error(err)
		}
		want(t, f.send(t, bob, "/make", "k", "a"), `201 {"n":7} /made/7`)
	})
}

func TestAnAnswerThatIsTooLargeIsNotRepeated(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		large := strings.Repeat("x", 33<<20)
		f.serve = func(c echo.Context, _ int64) error { return web.WriteRawJSON(c, http.StatusOK, []byte(large)) }
		if got := f.send(t, alice, "/make", "k", "a"); got != "200 "+large {
			t.Errorf("%d bytes", len(got))
		}
		want(t, f.send(t, alice, "/make", "k", "a"), "409 idempotency_answer_too_large")
	})
}

func TestAStreamWhoseClientLeftIsRepeatedWhole(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		opened, left := make(chan struct{}), make(chan struct{})
		f.serve = func(c echo.Context, _ int64) error {
			events := web.OpenEventStream(c)
			defer events.Close()
			if err := events.SendData([]byte("one")); err != nil {
				return err
			}
			close(opened)
			<-left
			for range 100 { // until the system says so
				if err := events.SendData([]byte(strings.Repeat("x", 10_000))); err != nil {
					return nil //nolint:nilerr // as a service whose answer is stored already
				}
			}
			return events.SendData([]byte("end"))
		}
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-opened
			leave()
			time.Sleep(50 * time.Millisecond)
			close(left)
		}()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL+"/make", strings.NewReader(`{"prompt":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+string(alice))
		request.Header.Set("Idempotency-Key", "k")
		if response, err := f.Client().Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		for range 100 {
			if got := f.send(t, alice, "/make", "k", "a"); got != "409 idempotency_in_progress" {
				if !strings.HasSuffix(got, "data: end\n\n again") {
					t.Errorf("%d bytes, ending in %.60q", len(got), got[max(len(got)-60, 0):])
				}
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("it never ended")
	})
}
