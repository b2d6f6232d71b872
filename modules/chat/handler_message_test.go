package chat

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/usage"
)

// goneWriter is a client that goes away after the first event.
type goneWriter struct {
	*httptest.ResponseRecorder
	writes int
}

func (w *goneWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes > 1 {
		return 0, errors.New("connection reset")
	}
	return w.ResponseRecorder.Write(p)
}

func TestAStreamThatFailedAfterItsStatusIsAccountedWithItsOutcome(t *testing.T) {
	cases := map[string]struct {
		provider *scripted
		gone     bool
		status   string
		outcome  string
		kind     fault.Kind
		last     string // the last event
	}{
		"a failed provider":           {failing("one", errOverload, "begun"), false, statusFailed, "provider_unavailable", fault.Unavailable, "error"},
		"a client that takes no more": {failing("one", nil, "begun", "on"), true, statusCancelled, "cancelled", fault.Cancelled, "start"},
		"a complete answer":           {failing("one", nil, "begun", "on"), false, statusCompleted, "", 0, "done"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Config{}, c.provider)
			recorder := httptest.NewRecorder()
			var writer http.ResponseWriter = recorder
			if c.gone {
				writer = &goneWriter{ResponseRecorder: recorder}
			}
			ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
			request := httptest.NewRequest(http.MethodPost, "/chat", nil).WithContext(ctx)
			err := f.module.handler.sendMessage(echo.New().NewContext(request, writer), sendMessageInput{Message: "hi", Stream: true})
			if (err == nil) != (c.outcome == "") || err != nil && !fault.Is(err, c.kind) {
				t.Fatalf("got %v", err)
			}
			if got := record.Figures().Outcome; got != c.outcome {
				t.Fatalf("outcome %q", got)
			}
			events := strings.Split(strings.TrimSpace(recorder.Body.String()), "\n\n")
			if last := events[len(events)-1]; recorder.Code != 200 || !strings.HasPrefix(last, "event: "+c.last+"\n") {
				t.Fatalf("%d, %q", recorder.Code, last)
			}
			if got := f.stored(t, 1, f.onlySession(t, 1).ID)[1]; got.Status != c.status {
				t.Fatalf("%+v", got)
			}
		})
	}
}
