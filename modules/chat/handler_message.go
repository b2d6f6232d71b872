package chat

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/fault"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

const sendMessageDescription = `Without ` + "`session_id`" + ` a session is made. The session's earlier messages go to the model as far as they fit into its context, the newest first; the system prompt always does.

` + "`model`, when given, answers this message and the later ones of the session; `system` replaces the session's instruction." + ` A message is 1 to 32,000 characters after white space around it is removed.

With ` + "`stream: true`" + ` the answer comes as server-sent events: one ` + "`start {session_id, message_id}`, any number of `delta {content}`, and one `done` with the whole object or `error` with a problem document" + `. A failure before the first piece is an ordinary problem with its status.

When the client goes away, the provider is stopped and what had come is kept in the session as ` + "`cancelled`."

var messageAnswers = []web.Answer{
	web.Returns[answerBody](http.StatusOK, "", "The answer."),
	{Status: http.StatusOK, ContentType: "text/event-stream", Description: "With stream: true, the answer as events start, delta, done and error."},
}

func (h handler) sendMessage(c echo.Context, in sendMessageInput) error {
	ctx := c.Request().Context()
	at, err := h.service.room.enter(len(in.Message))
	if err != nil {
		return err
	}
	defer at.leave()
	if !in.Stream {
		answer, err := h.service.sendMessage(ctx, at, in.ask(), nil)
		if err != nil {
			return err
		}
		return web.WriteJSON(c, http.StatusOK, newAnswerBody(answer))
	}
	stream := answerStream{c: c}
	defer stream.close()
	answer, err := h.service.sendMessage(ctx, at, in.ask(), stream.deliver)
	return stream.end(answer, err)
}

type sendMessageInput struct {
	Message     string   `json:"message" minLength:"1" maxLength:"32000" example:"How do I add a provider?"`
	SessionID   string   `json:"session_id,omitempty" format:"uuid" doc:"Continues this session; without it a new one is made."`
	Model       string   `json:"model,omitempty" doc:"One of GET /chat/models. Without it, the session's model or the first provider that can answer."`
	System      *string  `json:"system,omitempty" maxLength:"32000" doc:"Replaces the session's instruction; an empty one removes it."`
	Temperature *float64 `json:"temperature,omitempty" minimum:"0" maximum:"2"`
	MaxTokens   *int64   `json:"max_tokens,omitempty" minimum:"1" maximum:"1000000" doc:"Bounds the answer."`
	Stream      bool     `json:"stream,omitempty" doc:"Send the answer as it is made."`
}

func (in sendMessageInput) ask() ask {
	return ask{
		Message: in.Message, SessionID: in.SessionID, Model: in.Model, System: in.System,
		Temperature: in.Temperature, MaxTokens: in.MaxTokens, Stream: in.Stream,
	}
}

type answerBody struct {
	SessionID    string     `json:"session_id" format:"uuid"`
	MessageID    string     `json:"message_id" format:"uuid"`
	Role         string     `json:"role" enum:"assistant"`
	Content      string     `json:"content"`
	Model        string     `json:"model" example:"local/guide"`
	Provider     string     `json:"provider" example:"local"`
	FinishReason string     `json:"finish_reason" doc:"stop, length (cut at max_tokens or at the limit of this server), content_filter, …" example:"stop"`
	Tokens       tokensBody `json:"tokens"`
	CreatedAt    time.Time  `json:"created_at"`
}

func newAnswerBody(m message) answerBody {
	return answerBody{
		SessionID: m.SessionID, MessageID: m.ID, Role: m.Role, Content: m.Content, Model: m.Model, Provider: m.Provider,
		FinishReason: m.FinishReason, Tokens: newTokensBody(m.Tokens), CreatedAt: m.CreatedAt,
	}
}

type startEvent struct {
	SessionID string `json:"session_id"`
	MessageID string `json:"message_id"`
}

type deltaEvent struct {
	Content string `json:"content"`
}

// answerStream sends an answer as events. It is opened by the first of them, so
// that a failure before it still has its own status.
type answerStream struct {
	c      echo.Context
	events *web.EventStream
}

func (s *answerStream) deliver(answer message, text string) error {
	if err := s.open(answer); err != nil {
		return err
	}
	return s.events.Send("delta", deltaEvent{Content: text})
}

func (s *answerStream) open(answer message) error {
	if s.events != nil {
		return nil
	}
	s.events = web.OpenEventStream(s.c)
	return s.events.Send("start", startEvent{SessionID: answer.SessionID, MessageID: answer.ID})
}

// end sends the last event. A fault is returned too, so that it is logged like
// any other; the answer has its status by then.
func (s *answerStream) end(answer message, err error) error {
	if err != nil && s.events == nil {
		return err
	}
	if err != nil {
		failed := web.Fault(err)
		usage.Update(s.c.Request().Context(), func(f *usage.Figures) { f.Outcome = failed.Code })
		if failed.Kind != fault.Cancelled {
			return errors.Join(err, s.events.Send("error", web.ProblemOf(err, s.c.Request())))
		}
		return err
	}
	if s.open(answer) == nil {
		usage.Complete(s.c.Request().Context())
		_ = s.events.Send("done", newAnswerBody(answer)) // the answer is stored: a client that left now finds it there
	}
	return nil
}

func (s *answerStream) close() {
	if s.events != nil {
		s.events.Close()
	}
}
