package chat

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"llmhist/platform/web"
)

const responsesDescription = `The request and answer of OpenAI's responses. Every chat model here can be asked: the request goes to its provider as a chat completion. Messages with texts, pictures and audio, functions, response formats and reasoning effort are supported. ` +
	"`conversation` and `prompt`, and tools that run at OpenAI, are refused.\n\n" +
	"With `previous_response_id` only what is new is sent as `input`: what was said up to that response, one of your own that was completed, is taken from the history, whichever provider answered. " +
	"Its `instructions` are not; those of the request count. Any response can be gone on from, also twice: from the newest of a session it goes on in that session, from an earlier one it begins a new one. " +
	"A response that is not there is 400 `previous_response_not_found`; what cannot be taken from the history exactly is refused too, and `input` takes a whole conversation.\n\n" +
	"What is asked and answered is kept as that of `POST /v1/chat/completions` is, with `store: false` too. With `stream: true` the answer comes as the events of OpenAI's API, of which " +
	"`response.completed` or `response.incomplete` is the last one; a failure after the beginning is an `error` event."

// responseInput describes what this server knows of a request.
type responseInput struct {
	Input           any     `json:"input" doc:"A string, or an array of messages, function_call and function_call_output items."`
	Model           *string `json:"model,omitempty" doc:"A chat model that GET /v1/models lists." example:"local/guide"`
	Instructions    *string `json:"instructions,omitempty"`
	Previous        *string `json:"previous_response_id,omitempty" doc:"The response that this one goes on from. Its conversation is not sent again." example:"resp_0199…"`
	Store           *bool   `json:"store,omitempty" doc:"Of no effect: everything is kept in your history until you delete it."`
	Stream          *bool   `json:"stream,omitempty" doc:"Send the answer as it is made."`
	MaxOutputTokens *int64  `json:"max_output_tokens,omitempty" doc:"Bounds the answer."`
}

var responseAnswers = []web.Answer{
	web.Returns[responseBody](http.StatusOK, "", "The answer."),
	{Status: http.StatusOK, ContentType: "text/event-stream", Description: "With stream: true, the answer as events."},
}

func (h handler) createResponse(c echo.Context, body []byte) error {
	q, err := readResponse(body)
	if err != nil {
		return web.RenameFields(err, map[string]string{"messages": "input"})
	}
	at, err := h.service.room.enter(len(body))
	if err != nil {
		return err
	}
	defer at.leave()
	if q.namesPrevious() {
		if q, err = h.service.continueResponse(c.Request().Context(), at, q); err != nil {
			return err
		}
	}
	stream := responseStream{c: c, request: q}
	defer stream.close()
	answer, err := h.service.complete(c.Request().Context(), at, q.completionAsk, &stream)
	if q.Stream {
		return stream.end(answer, err)
	}
	return err
}
