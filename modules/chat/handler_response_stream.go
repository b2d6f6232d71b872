package chat

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/tidwall/gjson"

	"llmhist/platform/fault"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// responseStream sends the chunks of a chat completion as the events of a
// response. It is opened by the first of them, so that a failure before it still
// has its own status.
type responseStream struct {
	c        echo.Context
	request  responseAsk
	events   *web.EventStream
	sequence int64
	body     responseBody
	answer   message
	items    []responseStreamItem
	calls    choiceSaid
	err      error // of the client
}

// responseStreamItem is an item of the output that is being sent.
type responseStreamItem struct {
	call *callSaid // nil = the text of the answer
}

// responseEvent is the data of an event; fields that an event does not have are
// left out.
type responseEvent struct {
	Type         string        `json:"type"`
	Sequence     int64         `json:"sequence_number"`
	Response     *responseBody `json:"response,omitempty"`
	OutputIndex  *int          `json:"output_index,omitempty"`
	ItemID       string        `json:"item_id,omitempty"`
	ContentIndex *int          `json:"content_index,omitempty"`
	Item         *responseItem `json:"item,omitempty"`
	Part         *responsePart `json:"part,omitempty"`
	Delta        string        `json:"delta,omitempty"`
	Logprobs     *[]any        `json:"logprobs,omitempty"`
	Text         *string       `json:"text,omitempty"`
	Name         string        `json:"name,omitempty"`
	Arguments    *string       `json:"arguments,omitempty"`
}

func (s *responseStream) emit(event responseEvent) {
	if s.err != nil {
		return
	}
	event.Sequence = s.sequence
	s.sequence++
	s.err = s.events.Send(event.Type, event)
}

// send takes a chunk.
func (s *responseStream) send(answer *message, chunk []byte) error {
	if s.events == nil {
		nameAnswer(s.c, *answer)
		s.events = web.OpenEventStream(s.c)
		s.answer = *answer
		s.body = s.request.response(*answer, "in_progress")
		s.emit(responseEvent{Type: "response.created", Response: &s.body})
		s.emit(responseEvent{Type: "response.in_progress", Response: &s.body})
	}
	document := gjson.ParseBytes(chunk)
	if counted := document.Get("usage"); counted.IsObject() {
		s.body.Usage = responseUsage(counted)
	}
	document.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		if choice.Get("index").Int() == 0 {
			s.take(choice.Get("delta"))
		}
		return true
	})
	return s.err
}

// flush has nothing to do: every event is sent at once.
func (s *responseStream) flush() error { return s.err }

func (s *responseStream) whole(answer *message, document []byte) error {
	nameAnswer(s.c, *answer)
	return web.WriteJSON(s.c, http.StatusOK, s.request.respond(*answer, document))
}

func (s *responseStream) take(delta gjson.Result) {
	if text := textOf(delta.Get("content")) + delta.Get("refusal").Str; text != "" {
		s.takeText(text)
	}
	eachObject(delta.Get("tool_calls"), func(call gjson.Result) bool {
		s.takeCall(call)
		return true
	})
}

func (s *responseStream) takeText(text string) {
	at := s.indexOf(func(item responseStreamItem) bool { return item.call == nil })
	if at < 0 {
		at = s.add(responseStreamItem{})
		item := textItem(s.answer, "in_progress", "")
		item.Content = &[]responsePart{}
		part := textPart("")
		s.emit(responseEvent{Type: "response.output_item.added", OutputIndex: &at, Item: &item})
		s.emit(responseEvent{Type: "response.content_part.added", OutputIndex: &at, ItemID: item.ID, ContentIndex: new(int), Part: &part})
	}
	s.emit(responseEvent{Type: "response.output_text.delta", OutputIndex: &at, ItemID: s.idOf(at), ContentIndex: new(int), Delta: text, Logprobs: &[]any{}})
}

func (s *responseStream) takeCall(delta gjson.Result) {
	call := s.calls.callOf(delta)
	at := s.indexOf(func(item responseStreamItem) bool { return item.call == call })
	if at < 0 && len(s.items) > maxCalls {
		return
	}
	call.add(delta)
	if at < 0 {
		at = s.add(responseStreamItem{call})
		item := callItem(s.answer, at, "in_progress", toolCall{ID: call.ID, Name: call.Name})
		s.emit(responseEvent{Type: "response.output_item.added", OutputIndex: &at, Item: &item})
	}
	arguments := delta.Get("function.arguments").Str
	if arguments == "" {
		return
	}
	s.emit(responseEvent{Type: "response.function_call_arguments.delta", OutputIndex: &at, ItemID: s.idOf(at), Delta: arguments})
}

func (s *responseStream) indexOf(which func(responseStreamItem) bool) int {
	for i, item := range s.items {
		if which(item) {
			return i
		}
	}
	return -1
}

func (s *responseStream) add(item responseStreamItem) int {
	s.items = append(s.items, item)
	return len(s.items) - 1
}

func (s *responseStream) idOf(at int) string { return s.item(at, "").ID }

// item returns an item as far as it is known.
func (s *responseStream) item(at int, status string) responseItem {
	of := s.items[at].call
	if of == nil {
		return textItem(s.answer, status, s.answer.Content)
	}
	return callItem(s.answer, at, status, toolCall{ID: of.ID, Name: of.Name, Arguments: of.arguments.String()})
}

// end sends what completes the items and the response, or the fault that ended
// it, which is returned too, so that it is logged like any other.
func (s *responseStream) end(answer message, err error) error {
	if s.events == nil {
		return err
	}
	ctx := s.c.Request().Context()
	if err != nil {
		failed := web.Fault(err)
		usage.Update(ctx, func(f *usage.Figures) { f.Outcome = failed.Code })
		if failed.Kind != fault.Cancelled {
			_ = s.events.Send("error", responseFailure{Type: "error", Code: failed.Code, Message: failed.Detail, Sequence: s.sequence})
		}
		return err
	}
	s.answer = answer
	s.body.concluded(answer)
	for at := range s.items {
		s.complete(at)
	}
	usage.Complete(ctx)
	s.emit(responseEvent{Type: "response." + s.body.Status, Response: &s.body}) // the answer is stored: a client that left now finds it there
	return nil
}

// responseFailure is the data of an error event.
type responseFailure struct {
	Type     string  `json:"type"`
	Code     string  `json:"code"`
	Message  string  `json:"message"`
	Param    *string `json:"param"`
	Sequence int64   `json:"sequence_number"`
}

func (s *responseStream) complete(at int) {
	status := "completed"
	if s.items[at].call == nil {
		status = s.body.Status
	}
	item := s.item(at, status)
	s.body.Output = append(s.body.Output, item)
	if s.items[at].call == nil {
		part := (*item.Content)[0]
		s.emit(responseEvent{Type: "response.output_text.done", OutputIndex: &at, ItemID: item.ID, ContentIndex: new(int), Text: &part.Text, Logprobs: &[]any{}})
		s.emit(responseEvent{Type: "response.content_part.done", OutputIndex: &at, ItemID: item.ID, ContentIndex: new(int), Part: &part})
	} else {
		s.emit(responseEvent{Type: "response.function_call_arguments.done", OutputIndex: &at, ItemID: item.ID, Name: item.Name, Arguments: item.Arguments})
	}
	s.emit(responseEvent{Type: "response.output_item.done", OutputIndex: &at, Item: &item})
}

func (s *responseStream) close() {
	if s.events != nil {
		s.events.Close()
	}
}
