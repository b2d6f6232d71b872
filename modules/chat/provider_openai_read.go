package chat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/outbound"
	"llmhist/platform/sse"
)

const (
	// maxWholeAnswer bounds an answer that comes as one JSON document.
	maxWholeAnswer = 16 << 20
	// lingerAfterDone is how long a finished stream may take to end, so that
	// its connection can serve the next request.
	lingerAfterDone = 100 * time.Millisecond
)

// answerReader reads the answer of one call.
type answerReader struct {
	provider string
	emit     func(text string) error
	hold     func(ctx context.Context) error // see Request.Hold
	flush    func() error                    // sends what was relayed; nil = nothing waits
	result   Result
}

// completion is a whole answer, or one chunk of a streamed one.
type completion struct {
	Choices []struct {
		Index        int     `json:"index"`
		Message      content `json:"message"`
		Delta        content `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// content is what the assistant says. The thoughts of reasoning models
// (reasoning_content, reasoning) are not a part of it and are left out.
type content struct {
	Content text `json:"content"`
	Refusal text `json:"refusal"`
}

func (c content) text() string { return string(c.Content) + string(c.Refusal) }

// text is a string, null, or a list of parts of which those with text count.
type text string

// UnmarshalJSON reads each of the three shapes.
func (t *text) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*string)(t)) // null leaves it empty
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	for _, part := range parts {
		*t += text(part.Text)
	}
	return nil
}

// longDocument is the size in bytes from which on memory is asked for.
const longDocument = 64 << 10

// readDocument reads all of body, and no more than is needed to see that it is
// longer than maxWholeAnswer. hold is asked for memory when it is long.
func readDocument(ctx context.Context, body io.Reader, hold func(context.Context) error) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, longDocument))
	if err != nil || len(data) < longDocument {
		return data, err
	}
	if hold != nil {
		if err := hold(ctx); err != nil {
			return nil, err
		}
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxWholeAnswer+1-longDocument))
	return append(data, rest...), err
}

// whole reads an answer that is one JSON document.
func (r *answerReader) whole(ctx context.Context, body io.Reader) (Result, error) {
	data, err := readDocument(ctx, body, r.hold)
	if err != nil {
		return r.result, err
	}
	if len(data) > maxWholeAnswer {
		return r.result, r.tooLarge()
	}
	var answer completion
	if err := json.Unmarshal(data, &answer); err != nil {
		return r.result, badAnswer(r.provider, "sent JSON that is not a chat completion")
	}
	if reported(answer.Error) {
		return r.result, r.errorFault(data)
	}
	if len(answer.Choices) == 0 {
		return r.result, badAnswer(r.provider, "sent a chat completion without an answer in it")
	}
	r.result.FinishReason = "stop"
	err = r.take(answer)
	return r.result, err
}

// stream reads an answer that comes as events.
func (r *answerReader) stream(body io.ReadCloser) (Result, error) {
	return r.eachChunk(body, 0, func(data []byte) error {
		var chunk completion
		if err := json.Unmarshal(data, &chunk); err != nil {
			return badAnswer(r.provider, "sent an event that is not a chat completion")
		}
		if reported(chunk.Error) {
			return r.errorFault(data)
		}
		return r.take(chunk)
	})
}

// eachChunk gives each chunk of a stream to take, whose error ends it. maxChunk
// bounds one in bytes; 0 = as package sse does. The stream is complete with
// [DONE], or at its end when the model has said why it finished.
func (r *answerReader) eachChunk(body io.ReadCloser, maxChunk int, take func(data []byte) error) (Result, error) {
	events := sse.NewReader(body, maxChunk)
	for {
		event, err := events.Next()
		if err != nil {
			return r.result, r.endFault(err)
		}
		data := bytes.TrimSpace(event.Data)
		switch {
		case string(data) == "[DONE]":
			linger(body)
			if r.result.FinishReason == "" {
				r.result.FinishReason = "stop"
			}
			return r.result, nil
		case event.Name == "error":
			return r.result, r.errorFault(data)
		case len(data) > 0:
			if err := take(data); err != nil {
				return r.result, err
			}
		}
		if err := r.flushUnlessMore(events); err != nil {
			return r.result, err
		}
	}
}

// flushUnlessMore sends the client what was relayed, unless a further chunk has
// come already: then both go together.
func (r *answerReader) flushUnlessMore(events *sse.Reader) error {
	if r.flush == nil {
		return nil
	}
	if next, ready := events.Ready(); ready && !bytes.HasSuffix(next, []byte("[DONE]")) {
		return nil
	}
	return r.flush()
}

// linger waits a moment for the end of the body: a connection is used again
// only when its answer was read to the end.
func linger(body io.ReadCloser) {
	giveUp := time.AfterFunc(lingerAfterDone, func() { _ = body.Close() })
	defer giveUp.Stop()
	_, _ = io.CopyN(io.Discard, body, 4<<10)
}

// take uses what one document or chunk says.
func (r *answerReader) take(part completion) error {
	if u := part.Usage; u != nil && u.PromptTokens >= 0 && u.CompletionTokens >= 0 && u.PromptTokens+u.CompletionTokens > 0 {
		r.result.InputTokens, r.result.OutputTokens, r.result.Counted = u.PromptTokens, u.CompletionTokens, true
	}
	for _, choice := range part.Choices {
		if choice.Index != 0 {
			continue
		}
		if choice.FinishReason != nil && *choice.FinishReason != "" {
			r.result.FinishReason = finishReason(*choice.FinishReason)
		}
		if said := choice.Message.text() + choice.Delta.text(); said != "" {
			if err := r.emit(said); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishReason keeps a reason that looks like one.
func finishReason(reason string) string {
	isToken := len(reason) <= 32 && strings.Trim(reason, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
	if !isToken {
		return "stop"
	}
	return strings.ToLower(reason)
}

// endFault says what the end of a stream without [DONE] means.
func (r *answerReader) endFault(err error) error {
	switch {
	case errors.Is(err, sse.ErrTooLarge):
		return r.tooLarge()
	case r.result.FinishReason != "":
		return nil
	case errors.Is(err, io.EOF):
		return fault.Wrap(io.ErrUnexpectedEOF, fault.BadUpstream, "provider_cut_off",
			fmt.Sprintf("The provider %q broke off in the middle of its answer. Try again.", r.provider)).With("provider", r.provider)
	default:
		return err
	}
}

func (r *answerReader) tooLarge() error {
	return fault.New(fault.BadUpstream, "provider_answer_too_large",
		fmt.Sprintf("The provider %q sent more at once than is accepted from it.", r.provider)).With("provider", r.provider)
}

// reported reports whether an error member says anything.
func reported(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// errorFault turns an error that came with status 200 into the fault that the
// same error with a proper status would have become.
func (r *answerReader) errorFault(data []byte) error {
	var outer struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(data, &outer) != nil || !reported(outer.Error) {
		outer.Error = data // an event called error, with the error itself as its data
	}
	var inner struct {
		Type text            `json:"type"`
		Code json.RawMessage `json:"code"`
	}
	_ = json.Unmarshal(outer.Error, &inner) // an error that is only a string has neither
	body, err := json.Marshal(map[string]json.RawMessage{"error": outer.Error})
	if err != nil {
		body = nil
	}
	return outbound.StatusFault(r.provider, &http.Response{
		StatusCode: statusOfError(string(inner.Type), strings.Trim(string(inner.Code), `"`)),
		Header:     http.Header{}, Body: io.NopCloser(bytes.NewReader(body)),
	})
}

// statusOfError returns the status that an error of this type and code is
// usually sent with.
func statusOfError(kind, code string) int {
	var status int
	if _, err := fmt.Sscanf(code, "%d", &status); err == nil && status >= 400 && status < 600 {
		return status
	}
	switch {
	case strings.Contains(code, "insufficient_quota"), strings.Contains(code, "rate_limit"), strings.Contains(kind, "rate_limit"):
		return http.StatusTooManyRequests
	case code == "invalid_api_key", kind == "authentication_error":
		return http.StatusUnauthorized
	case code == "model_not_found":
		return http.StatusNotFound
	case kind == "invalid_request_error", code == "context_length_exceeded", code == "content_filter":
		return http.StatusBadRequest
	default:
		return http.StatusInternalServerError
	}
}
