package chat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"llmhist/platform/outbound"
	"llmhist/platform/rawjson"
)

// maxChunk bounds one event of a provider, which may hold spoken output.
const maxChunk = 4 << 20

// completionReader reads the answer of a provider that speaks OpenAI's API.
type completionReader struct {
	*completing
	answerReader
	alike alike
}

// read reads the answer as what its content type says it is, whether or not a
// stream was asked for: some servers know only one way.
func (r *completionReader) read(ctx context.Context, response *http.Response) (Result, error) {
	switch outbound.MediaType(response) {
	case "text/event-stream":
		return r.eachChunk(response.Body, maxChunk, func(data []byte) error { return r.takeChunk(ctx, data) })
	case "application/json":
		return r.readWhole(ctx, response.Body)
	default:
		return Result{}, badAnswer(r.provider, "answered with something that is neither JSON nor an event stream")
	}
}

func (r *completionReader) readWhole(ctx context.Context, body io.Reader) (Result, error) {
	data, err := readDocument(ctx, body, r.place.hold)
	if err != nil {
		return r.result, err
	}
	if len(data) > maxWholeAnswer {
		return r.result, r.tooLarge()
	}
	document := gjson.ParseBytes(data)
	if !rawjson.Valid(data) || !document.IsObject() {
		return r.result, badAnswer(r.provider, "sent JSON that is not a chat completion")
	}
	if saysError(document) {
		return r.result, r.errorFault(data)
	}
	choices := document.Get("choices").Array()
	if len(choices) == 0 {
		return r.result, badAnswer(r.provider, "sent a chat completion without an answer in it")
	}
	r.takeUsage(document.Get("usage"))
	r.result.FinishReason = "stop"
	for _, choice := range choices {
		err := r.takeChoice(ctx, choice, "message")
		if errors.Is(err, errAnswerFull) && r.request.Stream {
			r.said.choice(0).finish = "length"
			if failed := r.sendWhole(ctx); failed != nil {
				return r.result, failed
			}
			return r.result, err
		}
		if err != nil {
			return r.result, err
		}
	}
	if !r.request.Stream {
		r.document = data
		return r.result, nil
	}
	return r.result, r.sendWhole(ctx)
}

// sendWhole sends what came in one piece as the chunks of a stream.
func (r *completionReader) sendWhole(ctx context.Context) error {
	if err := r.gather(ctx); err != nil {
		return err
	}
	for _, of := range r.said.sorted() {
		text := of.text.String()
		if of.index == 0 {
			text = r.answer.Content
		}
		reason := of.finish
		if reason == "" {
			reason = "stop"
		}
		chunks := chunkBody{Choices: []chunkChoice{{Index: of.index, Delta: deltaOf(of.member(text))}}}
		if err := r.sendOwn(chunks); err != nil {
			return err
		}
		chunks.Choices = []chunkChoice{{Index: of.index, FinishReason: &reason}}
		if err := r.sendOwn(chunks); err != nil {
			return err
		}
	}
	r.finished = true
	return nil
}

// takeChunk reads of a chunk what is kept and relays it as it is.
func (r *completionReader) takeChunk(ctx context.Context, data []byte) error {
	if text, known := r.alike.text(data); known {
		if err := r.takeFirst(ctx, string(text)); err != nil {
			return r.cut(err)
		}
		return r.relay(data)
	}
	if !rawjson.Valid(data) {
		return badAnswer(r.provider, "sent an event that is not JSON")
	}
	var choices, counted, problem gjson.Result
	gjson.ParseBytes(data).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "choices":
			choices = value
		case "usage":
			counted = value
		case "error":
			problem = value
		}
		return true
	})
	if problem.Exists() && problem.Type != gjson.Null {
		return r.errorFault(data)
	}
	r.takeUsage(counted)
	if r.head.ID == "" {
		r.takeHead(data)
	}
	empty := true
	var err error
	eachObject(choices, func(choice gjson.Result) bool {
		empty = false
		err = r.takeChoice(ctx, choice, "delta")
		return err == nil
	})
	if err != nil {
		return r.cut(err)
	}
	if !r.request.Stream {
		return nil
	}
	if !counted.IsObject() && !problem.Exists() {
		r.alike.learn(data, choices)
	}
	if empty && counted.IsObject() {
		if !r.request.IncludeUsage {
			return nil // it was asked for by this server
		}
		r.usageSent = true
	}
	if problem.Exists() { // null, at which some clients give up
		if data, err = sjson.DeleteBytes(data, "error"); err != nil {
			return err
		}
	}
	if bytes.IndexByte(data, '\n') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\n"), []byte(" ")) // in JSON a line end stands only where a space may
	}
	return r.relay(data)
}

// eachObject calls take with the objects of an array, while it returns true. What
// is something else, like null, has none.
func eachObject(list gjson.Result, take func(object gjson.Result) bool) {
	if !list.IsArray() {
		return
	}
	list.ForEach(func(_, value gjson.Result) bool { return !value.IsObject() || take(value) })
}

// longerThan reports whether an array has more than limit items.
func longerThan(list gjson.Result, limit int) bool {
	n := 0
	list.ForEach(func(_, _ gjson.Result) bool { n++; return n <= limit })
	return n > limit
}

// takeHead reads what a client takes a chunk for a part of the same answer by.
func (r *completionReader) takeHead(chunk []byte) {
	of := gjson.ParseBytes(chunk)
	id, created, model := of.Get("id").Str, of.Get("created").Int(), of.Get("model").Str
	if id == "" {
		return
	}
	r.head = headOf(r.answer, "chat.completion.chunk")
	r.head.ID = id
	if created > 0 {
		r.head.Created = created
	}
	if model != "" {
		r.head.Model = model
	}
}

// takeChoice reads of a choice what is kept; see takePart.
func (r *completionReader) takeChoice(ctx context.Context, choice gjson.Result, name string) error {
	if err := r.takePart(ctx, choice, name); err != nil {
		return err
	}
	if first := r.said.choice(0).finish; first != "" {
		r.result.FinishReason = first
		r.finished = true
	}
	return nil
}

func (r *completionReader) takeUsage(counted gjson.Result) {
	if !counted.IsObject() {
		return
	}
	input, output := counted.Get("prompt_tokens").Int(), counted.Get("completion_tokens").Int()
	if input >= 0 && output >= 0 && input+output > 0 {
		r.result.InputTokens, r.result.OutputTokens, r.result.Counted = input, output, true
	}
}

func saysError(document gjson.Result) bool {
	problem := document.Get("error")
	return problem.Exists() && problem.Type != gjson.Null
}
