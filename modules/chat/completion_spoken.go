package chat

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"llmhist/platform/spool"
)

// spoken collects what an answer is besides the text of its first choice: the
// calls and thoughts of that, and all of further choices. Its parts come as
// deltas of a stream or as whole messages.
type spoken struct {
	dir     string // for thoughts that become long
	choices []*choiceSaid
	size    int // bytes collected
	held    int // of those, bytes in memory whatever their number
}

type choiceSaid struct {
	index     int64
	beyond    bool            // one more than are kept
	text      strings.Builder // of choices other than 0
	reasoning spool.Text
	thoughts  string // the reasoning, once it is gathered
	calls     []*callSaid
	older     callSaid // the call in the older form
	audio     string   // id of spoken output
	finish    string
}

type callSaid struct {
	index int64 // as the provider counts; -1 = it does not
	toolCall
	arguments strings.Builder
}

// maxChoices and maxCalls bound what a provider can make this server keep; maxCalls
// and maxMembers what a message of a request can make it look into.
const (
	maxChoices = 128
	maxCalls   = 1024
	maxMembers = 64
)

func (s *spoken) choice(index int64) *choiceSaid {
	for _, c := range s.choices {
		if c.index == index {
			return c
		}
	}
	c := &choiceSaid{index: index, reasoning: spool.Text{Dir: s.dir}}
	if c.beyond = len(s.choices) >= maxChoices; !c.beyond {
		s.choices = append(s.choices, c)
	}
	return c
}

// callOf returns the call that a delta goes on with, or a new one. Some services
// count no calls, or all as the first; then a new id begins a new call.
func (c *choiceSaid) callOf(delta gjson.Result) *callSaid {
	index, id := int64(-1), delta.Get("id").Str
	if counted := delta.Get("index"); counted.Exists() {
		index = counted.Int()
	}
	for i := len(c.calls) - 1; i >= 0; i-- {
		call := c.calls[i]
		same := call.index == index && (id == "" || call.ID == "" || call.ID == id)
		if same || index < 0 && id != "" && call.ID == id {
			return call
		}
		if index < 0 && id == "" {
			return call // the last one
		}
	}
	call := &callSaid{index: index}
	if len(c.calls) < maxCalls {
		c.calls = append(c.calls, call)
	}
	return call
}

// long reports whether what was said needs more memory than it holds.
func (s *spoken) long() bool {
	return s.held > longDocument || slices.ContainsFunc(s.choices, func(c *choiceSaid) bool { return c.reasoning.Long() })
}

// gather brings the thoughts into memory.
func (s *spoken) gather() error {
	var errs []error
	for _, c := range s.choices {
		thoughts, err := c.reasoning.Read()
		c.thoughts = thoughts
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *spoken) close() {
	for _, c := range s.choices {
		_ = c.reasoning.Close() // it is stored by now
	}
}

// add takes a delta or message of a choice, and returns the text in it, which is
// left to the caller.
func (s *spoken) add(c *choiceSaid, part gjson.Result) (text string, err error) {
	var content, refusal string
	part.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "content":
			content = textOf(value)
			return true
		case "refusal":
			refusal = value.Str
			return true
		}
		if c.beyond {
			return true
		}
		switch key.Str {
		case "reasoning_content", "reasoning":
			if value.Type == gjson.String {
				err = errors.Join(err, c.reasoning.WriteString(value.Str))
				s.size += len(value.Str)
			}
		case "audio":
			if id := value.Get("id").Str; id != "" {
				c.audio = id
			}
		case "function_call":
			n := c.older.extend("", value.Get("name").Str, value.Get("arguments").Str)
			s.size, s.held = s.size+n, s.held+n
		case "tool_calls":
			eachObject(value, func(delta gjson.Result) bool {
				n := c.callOf(delta).add(delta)
				s.size, s.held = s.size+n, s.held+n
				return true
			})
		}
		return true
	})
	return content + refusal, err
}

// addText takes text of a choice other than the first.
func (s *spoken) addText(c *choiceSaid, text string) {
	if c.beyond {
		return
	}
	c.text.WriteString(text)
	s.size, s.held = s.size+len(text), s.held+len(text)
}

// add takes a delta of the call and returns how many bytes it added.
func (call *callSaid) add(delta gjson.Result) int {
	id := delta.Get("id").Str
	if custom := delta.Get("custom"); custom.IsObject() {
		call.Kind = callCustom
		return call.extend(id, custom.Get("name").Str, custom.Get("input").Str)
	}
	return call.extend(id, delta.Get("function.name").Str, delta.Get("function.arguments").Str)
}

// extend adds what a delta says, "" = nothing, and returns how many bytes it added.
func (call *callSaid) extend(id, name, arguments string) int {
	before := len(call.ID) + len(call.Name) + call.arguments.Len()
	if id != "" {
		call.ID = id
	}
	if name != "" {
		call.Name = name
	}
	call.arguments.WriteString(arguments)
	return len(call.ID) + len(call.Name) + call.arguments.Len() - before
}

// whole returns the call as it can be stored.
func (call *callSaid) whole() toolCall {
	return toolCall{ID: storable(call.ID), Name: storable(call.Name), Arguments: storable(call.arguments.String()), Kind: call.Kind}
}

// toolCalls returns the calls of a choice, the one in the older form last.
func (c *choiceSaid) toolCalls() []toolCall {
	var list []toolCall
	for _, call := range c.calls {
		list = append(list, call.whole())
	}
	if older := c.older.whole(); older.Name != "" || older.Arguments != "" {
		older.Kind = callOlder
		list = append(list, older)
	}
	return list
}

// completionMember is a message as OpenAI's API has it.
type completionMember struct {
	Role      string  `json:"role"`
	Content   *string `json:"content"`
	Reasoning string  `json:"reasoning_content,omitempty"`
	completionCalls
}

// completionCalls is what an assistant wants called.
type completionCalls struct {
	ToolCalls []completionCall    `json:"tool_calls,omitempty"`
	Older     *completionFunction `json:"function_call,omitempty"`
}

type completionCall struct {
	Index    *int                `json:"index,omitempty"` // in a delta
	ID       string              `json:"id"`
	Type     string              `json:"type"`
	Function *completionFunction `json:"function,omitempty"`
	Custom   *completionCustom   `json:"custom,omitempty"`
}

type completionCustom struct {
	Name  string `json:"name"`
	Input string `json:"input"`
}

type completionFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// member returns a choice as a whole message, with text as its content.
func (c *choiceSaid) member(text string) completionMember {
	m := completionMember{Role: roleAssistant, Reasoning: c.thoughts}
	for _, call := range c.toolCalls() {
		switch call.Kind {
		case callOlder:
			m.Older = &completionFunction{call.Name, call.Arguments}
		case callCustom:
			m.ToolCalls = append(m.ToolCalls, completionCall{ID: call.ID, Type: "custom", Custom: &completionCustom{call.Name, call.Arguments}})
		default:
			m.ToolCalls = append(m.ToolCalls, completionCall{ID: call.ID, Type: "function", Function: &completionFunction{call.Name, call.Arguments}})
		}
	}
	if text != "" || m.none() {
		m.Content = &text
	}
	return m
}

func (c completionCalls) none() bool { return len(c.ToolCalls) == 0 && c.Older == nil }

// named reports whether it is known of every call what is to be called.
func (c completionCalls) named() bool {
	return (c.Older == nil || c.Older.Name != "") && !slices.ContainsFunc(c.ToolCalls, func(call completionCall) bool {
		return (call.Function == nil || call.Function.Name == "") && (call.Custom == nil || call.Custom.Name == "")
	})
}

// sorted returns the choices in the order of their indexes, of which there is
// always the first.
func (s *spoken) sorted() []*choiceSaid {
	s.choice(0)
	list := slices.Clone(s.choices)
	slices.SortFunc(list, func(a, b *choiceSaid) int { return int(a.index - b.index) })
	return list
}

// extra returns what is kept of the answer besides the text of its first
// choice, as JSON, or "".
func (s *spoken) extra() string {
	var kept struct {
		Reasoning string `json:"reasoning_content,omitempty"`
		completionCalls
		Audio   string       `json:"audio_id,omitempty"`
		Choices []keptChoice `json:"choices,omitempty"` // further ones
	}
	for _, c := range s.sorted() {
		if c.index != 0 {
			kept.Choices = append(kept.Choices, keptChoice{c.index, c.member(c.text.String()), c.finish})
			continue
		}
		whole := c.member("")
		kept.Reasoning, kept.completionCalls, kept.Audio = whole.Reasoning, whole.completionCalls, c.audio
	}
	data, err := json.Marshal(kept)
	if err != nil || string(data) == "{}" {
		return ""
	}
	return string(data)
}

type keptChoice struct {
	Index        int64            `json:"index"`
	Message      completionMember `json:"message"`
	FinishReason string           `json:"finish_reason"`
}
