package chat

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"llmhist/platform/fault"
)

func TestAWholeAnswerIsReadNoFurtherThanItsBound(t *testing.T) {
	tooFar := iotest.ErrReader(errors.New("read on beyond the bound"))
	body := io.MultiReader(io.LimitReader(spaces{}, maxWholeAnswer+1), tooFar)
	read := answerReader{provider: "fake"}
	_, err := read.whole(t.Context(), body)
	wantFault(t, err, fault.BadUpstream, "provider_answer_too_large")
}

// spaces is a document that never begins.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) { return copy(p, strings.Repeat(" ", len(p))), nil }

func TestAStreamThatStaysOpenAfterItsEndKeepsNobodyWaiting(t *testing.T) {
	left := make(chan struct{})
	client := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", sseType)
		_, _ = io.WriteString(w, chunk("Hi!")+stopChunk+doneEvent)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	answered := make(chan error, 1)
	go func() {
		text, _, err := collect(t.Context(), client, hello(true))
		if text != "Hi!" {
			err = errors.Join(err, errors.New("got "+text))
		}
		answered <- err
	}()
	must(t, within(t, "the answer is complete", answered))
	within(t, "the provider is let go", left)
}
