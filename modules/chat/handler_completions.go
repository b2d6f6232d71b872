package chat

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

const completionsDescription = `The request and answer of OpenAI's chat completions. Fields that are not listed here go to the provider as they are and come back as they are: tools, pictures in messages, response formats, reasoning, log probabilities.

Without ` + "`model`" + ` the operator's first provider answers. ` + "`provider/model`" + ` names one of several that offer the same model.

What is asked and answered is kept like a message of ` + "`POST /chat`" + `. A request that repeats an earlier conversation and its answer goes on with the session that keeps it; any other begins one. The headers ` + "`Llmhist-Session`, `Llmhist-Message` and `Llmhist-Provider`" + ` name where it is kept and who answered.

With ` + "`stream: true`" + ` the answer comes as server-sent events and ends with ` + "`data: [DONE]`" + `; a failure after its beginning is an event with an ` + "`error`" + ` and no ` + "`[DONE]`." + ` When the client goes away, the provider is stopped and what had come is kept as ` + "`cancelled`."

// maxCompletionBody is the largest request in bytes. A question is kept twice,
// as its text and as it was sent, in a document of at most 16 MiB.
const maxCompletionBody = 6 << 20

// completionInput describes what this server knows of a request.
type completionInput struct {
	Messages      []completionInputMessage `json:"messages" minItems:"1" maxItems:"10000"`
	Model         *string                  `json:"model,omitempty" doc:"An id that GET /v1/models lists." example:"local/guide"`
	Stream        *bool                    `json:"stream,omitempty" doc:"Send the answer as it is made."`
	StreamOptions *completionStreamOptions `json:"stream_options,omitempty"`
	MaxTokens     *int64                   `json:"max_tokens,omitempty" doc:"Bounds the answer; max_completion_tokens is its newer name."`
}

type completionInputMessage struct {
	Role    string `json:"role" doc:"system, developer, user, assistant or tool."`
	Content any    `json:"content,omitempty" doc:"A string, or an array of parts."`
}

type completionStreamOptions struct {
	IncludeUsage bool `json:"include_usage,omitempty" doc:"Send a last chunk with the tokens."`
}

var completionAnswers = []web.Answer{
	web.Returns[completionBody](http.StatusOK, "", "The answer."),
	{Status: http.StatusOK, ContentType: "text/event-stream", Description: "With stream: true, the answer as chunks."},
}

func (h handler) completeChat(c echo.Context, body []byte) error {
	q, err := readCompletion(body)
	if err != nil {
		return err
	}
	at, err := h.service.room.enter(len(body))
	if err != nil {
		return err
	}
	defer at.leave()
	stream := completionStream{c: c}
	defer stream.close()
	_, err = h.service.complete(c.Request().Context(), at, q, &stream)
	if q.Stream {
		return stream.end(err)
	}
	return err
}

// nameAnswer says in headers where an answer is kept and who gave it.
func nameAnswer(c echo.Context, answer message) {
	header := c.Response().Header()
	header.Set("Llmhist-Session", answer.SessionID)
	header.Set("Llmhist-Message", answer.ID)
	header.Set("Llmhist-Provider", answer.Provider)
}

// completionStream sends an answer as chunks. It is opened by the first of them,
// so that a failure before it still has its own status.
type completionStream struct {
	c      echo.Context
	events *web.EventStream
}

func (s *completionStream) send(answer *message, chunk []byte) error {
	if s.events == nil {
		nameAnswer(s.c, *answer)
		s.events = web.OpenEventStream(s.c)
	}
	return s.events.Queue(chunk)
}

func (s *completionStream) flush() error { return s.events.Flush() }

func (s *completionStream) whole(answer *message, document []byte) error {
	nameAnswer(s.c, *answer)
	return web.WriteRawJSON(s.c, http.StatusOK, document)
}

// end sends the last event. A fault is returned too, so that it is logged like
// any other; the answer has its status by then.
func (s *completionStream) end(err error) error {
	if s.events == nil {
		return err
	}
	ctx := s.c.Request().Context()
	if err != nil {
		failed := web.Fault(err)
		usage.Update(ctx, func(f *usage.Figures) { f.Outcome = failed.Code })
		if failed.Kind == fault.Cancelled {
			return err
		}
		return errors.Join(err, s.events.Send("", web.OpenAIErrorOf(err)))
	}
	usage.Complete(ctx)
	_ = s.events.SendData([]byte("[DONE]")) // the answer is stored: a client that left now finds it there
	return nil
}

func (s *completionStream) close() {
	if s.events != nil {
		s.events.Close()
	}
}
