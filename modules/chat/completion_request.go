package chat

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"llmhist/platform/fault"
)

// completionAsk is a request of OpenAI's chat completions: the body as it was
// sent, most of which is the provider's to understand, and what is read of it
// here.
type completionAsk struct {
	Body         []byte
	Model        string // "" = by the order of providers
	Stream       bool
	IncludeUsage bool // the client wants a last chunk with the tokens
	Turns        []turn
	Fresh        int            // Turns from here on are new: no earlier answer of the conversation follows them
	Preface      int            // so many Turns are the instructions of this request, which it did not send as messages
	SessionID    string         // where a request with a previous response goes on; "" = in a new session
	Response     *responseExtra // what else a request of OpenAI's responses says; nil for chat completions
}

// responseExtra is what is kept of a request of OpenAI's responses besides what
// it is as a chat completion.
type responseExtra struct {
	Previous     string `json:"previous_response_id,omitempty"`
	Instructions string `json:"instructions,omitempty"`
	// Instructed is instructedBy of the messages before what is new, of a request
	// that sent all of them.
	Instructed string `json:"instructed,omitempty"`
}

// turn is one message of a request.
type turn struct {
	Role string
	Text string // of all parts that are text
	Raw  string // the whole message
	// Plain says that role and text are all there is to it.
	Plain  bool
	calls  []toolCall // of an assistant
	callID string     // of the call whose output a tool says
	audio  string     // id of what an assistant spoke
}

// toolCall is a function that a model wants called, or another tool.
type toolCall struct {
	ID, Name, Arguments string
	Kind                string // callFunction, …; of one that is not known here all of it is in Arguments
}

const (
	callFunction = ""
	callOlder    = "function_call" // the form before there were tools, without an id
	callCustom   = "custom"        // of a tool that takes any text
)

// maxTurns bounds the messages of one request.
const maxTurns = 10_000

// readCompletion reads a body that is a JSON object.
func readCompletion(body []byte) (completionAsk, error) {
	q := completionAsk{Body: body}
	var fields fault.Fields
	document := gjson.ParseBytes(body)
	refuseRepeated(document, &fields, "model", "messages", "stream", "stream_options")
	document.ForEach(func(key, value gjson.Result) bool {
		switch name := key.Str; name {
		case "model":
			fields.Check(value.Type == gjson.String || value.Type == gjson.Null, name, "wrong_type", "must be a string")
			q.Model = value.Str
		case "stream":
			fields.Check(value.IsBool() || value.Type == gjson.Null, name, "wrong_type", "must be true or false")
			q.Stream = value.Bool()
		case "stream_options":
			q.IncludeUsage = value.Get("include_usage").Bool()
		case "messages":
			q.readTurns(value, &fields)
		}
		return true
	})
	fields.Check(document.Get("messages").Exists(), "messages", "required", "must be given")
	return q, fields.Err()
}

// refuseRepeated refuses members of which there are two: this server could take
// one and the provider the other. Some servers do not mind the case of names.
func refuseRepeated(document gjson.Result, fields *fault.Fields, names ...string) {
	seen := map[string]bool{}
	document.ForEach(func(key, _ gjson.Result) bool {
		for _, name := range names {
			if strings.EqualFold(key.Str, name) {
				fields.Check(!seen[name], name, "repeated", "must be given once")
				seen[name] = true
			}
		}
		return true
	})
}

func (q *completionAsk) readTurns(messages gjson.Result, fields *fault.Fields) {
	if !messages.IsArray() {
		fields.Add("messages", "wrong_type", "must be an array")
		return
	}
	valid := true
	messages.ForEach(func(_, value gjson.Result) bool {
		t, ok := readTurn(value)
		valid = valid && ok && len(q.Turns) < maxTurns
		q.Turns = append(q.Turns, t)
		return valid
	})
	fields.Check(len(q.Turns) > 0, "messages", "required", "must not be empty")
	fields.Check(valid, "messages", "invalid", "must be at most 10000 objects, each with a role and a content that is a string, null or an array of parts; no message may have more than 1024 parts or calls, or 64 members")
	for i, t := range q.Turns[:max(len(q.Turns)-1, 0)] {
		if t.Role == roleAssistant {
			q.Fresh = i + 1
		}
	}
}

func readTurn(value gjson.Result) (turn, bool) {
	t := turn{Raw: value.Raw, Plain: true}
	if !value.IsObject() {
		return t, false
	}
	ok := true
	members := 0
	var older []toolCall
	value.ForEach(func(key, member gjson.Result) bool {
		if members++; members > maxMembers || member.IsArray() && longerThan(member, maxCalls) {
			ok = false
			return false
		}
		switch {
		case key.Str == "role":
			t.Role = member.Str
		case key.Str == "content" && member.Type == gjson.String:
			t.Text = member.Str
		case key.Str == "content" && member.IsArray():
			t.Plain = false
			t.Text = textOf(member)
		case key.Str == "content":
			ok = ok && member.Type == gjson.Null
		case key.Str == "tool_calls":
			t.Plain = false
			t.calls = callsOf(member)
		case key.Str == "tool_call_id":
			t.Plain = false
			t.callID = member.Str
		case key.Str == "function_call":
			t.Plain = false
			older = olderCall(member)
		case key.Str == "audio":
			t.Plain = false
			t.audio = member.Get("id").Str
		default:
			t.Plain = false
		}
		return true
	})
	t.calls = append(t.calls, older...)
	return t, ok && t.Role != ""
}

// textOf joins the texts of content that may come in parts.
func textOf(content gjson.Result) string {
	if content.Type == gjson.String {
		return content.Str
	}
	var texts []string
	content.ForEach(func(_, part gjson.Result) bool {
		if text := part.Get("text"); text.Type == gjson.String {
			texts = append(texts, text.Str)
		}
		return true
	})
	return strings.Join(texts, "\n")
}

func callsOf(list gjson.Result) []toolCall {
	var calls []toolCall
	eachObject(list, func(call gjson.Result) bool {
		of := toolCall{ID: call.Get("id").Str}
		switch kind := call.Get("type").Str; {
		case kind == callCustom:
			of.Kind, of.Name, of.Arguments = kind, call.Get("custom.name").Str, call.Get("custom.input").Str
		case kind == "" || kind == "function" || call.Get("function").Exists():
			of.Name, of.Arguments = call.Get("function.name").Str, call.Get("function.arguments").Str
		default:
			of.Kind, of.Arguments = kind, call.Raw
		}
		calls = append(calls, of)
		return len(calls) <= maxCalls
	})
	return calls
}

// olderCall returns the call in the older form, if there is one.
func olderCall(call gjson.Result) []toolCall {
	of := toolCall{Kind: callOlder, Name: call.Get("name").Str, Arguments: call.Get("arguments").Str}
	if of.Name == "" && of.Arguments == "" {
		return nil
	}
	return []toolCall{of}
}

// isInstruction reports whether a message instructs the model and is no part of
// what was said.
func (t turn) isInstruction() bool { return t.Role == roleSystem || t.Role == "developer" }

// system returns the instructions.
func (q completionAsk) system() string {
	var texts []string
	for _, t := range q.Turns {
		if t.isInstruction() {
			texts = append(texts, t.Text)
		}
	}
	return storable(strings.Join(texts, "\n\n"))
}

// question returns what the user says that is new.
func (q completionAsk) question() string {
	var texts []string
	for _, t := range q.Turns[q.Fresh:] {
		if t.Role == roleUser {
			texts = append(texts, t.Text)
		}
	}
	return storable(strings.Join(texts, "\n\n"))
}

// lastQuestion returns what the user said last, new or not.
func (q completionAsk) lastQuestion() string {
	for _, t := range slices.Backward(q.Turns) {
		if t.Role == roleUser {
			return storable(t.Text)
		}
	}
	return ""
}

// prompt returns the texts of the request, for a provider that knows no more,
// and to estimate their tokens.
func (q completionAsk) prompt() []PromptMessage {
	list := make([]PromptMessage, 0, len(q.Turns))
	for _, t := range q.Turns {
		role := t.Role
		if t.isInstruction() {
			role = roleSystem
		}
		list = append(list, PromptMessage{Role: role, Content: t.Text})
	}
	return list
}

// extra returns what the request is more than its question and instructions, as
// JSON, or "". continued says that the earlier messages are in the session
// already.
func (q completionAsk) extra(continued bool) string {
	turns := q.Turns[q.Preface:]
	if continued {
		turns = q.Turns[q.Fresh:]
	}
	questions := 0
	plain := true
	kept := !continued && q.Response == nil // a new session keeps the instructions of a chat completion itself
	for _, t := range turns {
		if t.Role == roleUser {
			questions++
		}
		plain = plain && t.Plain && (t.Role == roleUser || t.isInstruction() && kept)
	}
	var members []string
	gjson.ParseBytes(q.Body).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "model", "stream", "stream_options", "messages", "response":
		default:
			members = append(members, key.Raw+":"+value.Raw)
		}
		return true
	})
	plain = plain && questions == 1 && len(members) == 0
	if of := q.responseExtra(continued, plain); of != "" {
		members = append(members, `"response":`+of)
	}
	if plain && len(members) == 0 {
		return ""
	}
	if !plain {
		raw := make([]string, len(turns))
		for i, t := range turns {
			raw[i] = t.Raw
		}
		members = append(members, `"messages":[`+strings.Join(raw, ",")+"]")
	}
	return "{" + strings.Join(members, ",") + "}"
}

// responseExtra returns the member "response" of extra, or "". A question with
// messages always has it when it was one of OpenAI's responses: there a message
// that instructs is a part of the conversation.
func (q completionAsk) responseExtra(continued, plain bool) string {
	if q.Response == nil {
		return ""
	}
	of := *q.Response
	if plain || continued {
		of.Instructions = ""
	}
	if continued && of.Previous == "" {
		for _, t := range q.Turns[q.Preface:q.Fresh] {
			of.Instructed = instructedBy(of.Instructed, t)
		}
	}
	if plain && of == (responseExtra{}) {
		return ""
	}
	data, err := json.Marshal(of)
	if err != nil {
		return "" // not reached: it is made of texts
	}
	return string(data)
}

// storable returns text that every engine can store: PostgreSQL cannot U+0000.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}
