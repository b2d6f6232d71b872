package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
)

type note struct {
	Text string `json:"text"`
}

// serveBounded serves routes over a real port with short deadlines and returns
// the address.
func serveBounded(t *testing.T, routes ...Route) string {
	t.Helper()
	set := func(d *time.Duration, short time.Duration) {
		usual := *d
		*d = short
		t.Cleanup(func() { *d = usual })
	}
	set(&bodyDeadline, 200*time.Millisecond)
	set(&lingerDeadline, 100*time.Millisecond)
	set(&writeDeadline, 200*time.Millisecond)
	logger := slog.New(slog.DiscardHandler)
	e := NewEcho(logger, nil)
	router := NewRouter(e)
	e.Use(RequestID(), AccessLog(logger), Recover(), Timeout(), BodyLimit(), RequireAccess())
	router.Add(routes...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, e, logger) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func dial(t *testing.T, address, request string) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	return connection
}

func post(body string) string {
	return "POST /note HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + body
}

func TestAnOperationMayTakeLongerThanItsBodyToArrive(t *testing.T) {
	address := serveBounded(t, Route{Method: http.MethodPost, Path: "/note", Handler: JSON(http.StatusOK, func(ctx context.Context, in note) (note, error) {
		select {
		case <-ctx.Done():
			return in, ctx.Err()
		case <-time.After(3 * bodyDeadline):
			return in, nil
		}
	})})
	response, err := http.ReadResponse(bufio.NewReader(dial(t, address, post(`{"text":"abcdefghi"}`))), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", response, err)
	}
}

func TestABodyThatNeverComesDoesNotKeepTheConnection(t *testing.T) {
	take := func(_ context.Context, in note) (note, error) { return in, nil }
	for name, route := range map[string]Route{
		"that is awaited":    {Method: http.MethodPost, Path: "/note", Handler: JSON(http.StatusOK, take)},
		"that is not needed": {Method: http.MethodPost, Path: "/note", Handler: JSON(http.StatusOK, take), Access: SignedIn},
		"to nowhere":         {Method: http.MethodPost, Path: "/other", Handler: JSON(http.StatusOK, take)},
	} {
		t.Run(name, func(t *testing.T) {
			connection := dial(t, serveBounded(t, route), post(`{`))
			answer, err := io.ReadAll(connection) // ends only when the server closes
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
				t.Fatalf("%q %v", answer, err)
			}
		})
	}
}

func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	failed := make(chan error, 1)
	address := serveBounded(t, Route{Method: http.MethodGet, Path: "/flood", Handler: Pages(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 1<<20)
		for {
			if _, err := w.Write(piece); err != nil {
				failed <- err
				return
			}
		}
	}))})
	dial(t, address, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
	var timeout net.Error
	if err := <-failed; !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("the write ended with %v", err)
	}
}

func TestWhatEndedARequestIsSaidHonestly(t *testing.T) {
	interrupted := fault.New(fault.Cancelled, "interrupted", "The statement was interrupted.")
	live := context.Background()
	gone, leave := context.WithCancel(live)
	leave()
	stopping, stop := context.WithCancelCause(live)
	stop(errStopping)
	over, cancel := context.WithTimeout(live, -1)
	defer cancel()
	for name, one := range map[string]struct {
		err               error
		client, operation context.Context
		want              int
	}{
		"a deadline is a 504":                        {context.DeadlineExceeded, live, over, 504},
		"a statement ended by the deadline is a 504": {interrupted, live, over, 504},
		"a client that left is a 499":                {context.Canceled, gone, gone, 499},
		"a server that stops is a 503":               {context.Canceled, stopping, stopping, 503},
		"another fault stays what it is":             {fault.NotFoundf("x"), gone, over, 404},
	} {
		t.Run(name, func(t *testing.T) {
			if got := StatusOf(whyEnded(one.err, one.client, one.operation)); got != one.want {
				t.Errorf("status %d, want %d", got, one.want)
			}
		})
	}
	if whyEnded(nil, gone, over) != nil {
		t.Error("success became an error")
	}
}

func TestAnAnswerThatCannotBeEncodedIsA500(t *testing.T) {
	type broken struct {
		Number chan int `json:"number"`
	}
	address := serveBounded(t, Route{Method: http.MethodGet, Path: "/broken", Handler: Raw(func(c echo.Context, _ struct{}) error {
		return WriteJSON(c, http.StatusOK, broken{make(chan int)})
	})})
	response, err := http.ReadResponse(bufio.NewReader(dial(t, address, "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")), nil)
	if err != nil || response.StatusCode != http.StatusInternalServerError {
		t.Fatalf("%v %v", response, err)
	}
}
