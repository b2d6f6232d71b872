package chat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// thread names a conversation by what was said in it, so that the next request
// of a client that sends all of it each time is known to go on with it.
type thread struct{ digest hash.Hash }

func newThread() thread { return thread{sha256.New()} }

// clone returns a thread that goes on by itself.
func (t thread) clone() thread {
	copied, err := t.digest.(hash.Cloner).Clone()
	if err != nil {
		panic(err) // not reached: SHA-256 can always be cloned
	}
	return thread{copied}
}

// add appends a message. Instructions do not count: many clients put the time
// into them.
func (t thread) add(said turn) {
	if said.isInstruction() {
		return
	}
	write := func(text string) {
		_, _ = t.digest.Write([]byte(text)) // never fails
		_, _ = t.digest.Write([]byte{0})
	}
	write(said.Role)
	write(strings.TrimSpace(storable(said.Text)))
	for _, call := range said.calls {
		if call.Kind != callFunction {
			write(call.Kind)
		}
		write(storable(call.ID))
		write(storable(call.Name))
		write(call.argumentsInOneForm())
	}
	if said.callID != "" {
		write(storable(said.callID))
	}
	if said.audio != "" && said.Role == roleAssistant {
		write("audio")
		write(storable(said.audio))
	}
	for _, part := range said.otherParts() {
		write(part)
	}
	for _, member := range said.otherMembers() {
		write(member)
	}
	write("")
}

func (t thread) name() string { return hex.EncodeToString(t.digest.Sum(nil)) }

// otherParts returns the parts of a message that are no text, such as pictures,
// and where they are.
func (t turn) otherParts() []string {
	if t.Plain || t.Raw == "" {
		return nil
	}
	content := gjson.Get(t.Raw, "content")
	if !content.IsArray() {
		return nil
	}
	var parts []string
	for i, part := range content.Array() {
		if part.Get("text").Type != gjson.String {
			parts = append(parts, strconv.Itoa(i), part.Raw)
		}
	}
	return parts
}

// otherMembers returns what a message has besides what is read of it, such as the
// name of who says it, sorted. That of an assistant does not count: it is what one
// provider or client adds to an answer and the next leaves out, and is not kept.
func (t turn) otherMembers() []string {
	if t.Plain || t.Role == roleAssistant {
		return nil
	}
	var members []string
	gjson.Parse(t.Raw).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "role", "content", "tool_calls", "tool_call_id", "function_call":
			return true
		case "cache_control": // which moves from message to message
			return true
		}
		switch form := canonical(value.Raw); form {
		case "null", `""`, "[]", "{}":
		default:
			members = append(members, key.Str+":"+form)
		}
		return true
	})
	slices.Sort(members)
	return members
}

// argumentsInOneForm returns the arguments as they count.
func (call toolCall) argumentsInOneForm() string {
	if call.Kind == callCustom {
		return storable(call.Arguments)
	}
	return canonical(storable(call.Arguments))
}

func (call toolCall) same(other toolCall) bool {
	return call.ID == other.ID && call.Name == other.Name && call.Kind == other.Kind && call.argumentsInOneForm() == other.argumentsInOneForm()
}

// maxCanonical bounds the arguments that are brought into one form, which takes
// many times their memory. Longer ones count as they are, without the spaces between
// what they hold.
const maxCanonical = 32 << 10

// canonical returns the arguments of a call in one form: clients read them and
// write them again.
func canonical(arguments string) string {
	if len(arguments) > maxCanonical {
		var compact bytes.Buffer
		if json.Compact(&compact, []byte(arguments)) != nil {
			return arguments
		}
		return compact.String()
	}
	if strings.TrimSpace(arguments) == "" {
		return "{}"
	}
	var value any
	decoder := json.NewDecoder(strings.NewReader(arguments))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return arguments
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) { // more follows
		return arguments
	}
	data, err := json.Marshal(oneFormOfNumbers(value))
	if err != nil {
		return arguments
	}
	return string(data)
}

// oneFormOfNumbers returns a value in which 1.0 is 1. A number that is written as
// an integer keeps all its digits, which may be those of an id.
func oneFormOfNumbers(value any) any {
	switch of := value.(type) {
	case map[string]any:
		for name, member := range of {
			of[name] = oneFormOfNumbers(member)
		}
	case []any:
		for i, item := range of {
			of[i] = oneFormOfNumbers(item)
		}
	case json.Number:
		if number, err := of.Float64(); err == nil && strings.ContainsAny(of.String(), ".eE") {
			return number
		}
	}
	return value
}

// threads returns the name of the conversation before what is new, "" when
// nothing was, and the conversation with all of the request, to which its answer
// is added.
func (q completionAsk) threads() (before string, all thread) {
	all = newThread()
	for i, said := range q.Turns {
		if i == q.Fresh && i > 0 {
			before = all.name()
		}
		all.add(said)
	}
	return before, all
}

// instructedBy returns the digest of the instructions in a conversation, which a
// thread leaves out: of those that before is of, and of a message that may be one.
// That of none is "".
func instructedBy(before string, said turn) string {
	if !said.isInstruction() {
		return before
	}
	sum := sha256.Sum256([]byte(before + "\x00" + said.Role + "\x00" + storable(said.Text)))
	return hex.EncodeToString(sum[:])
}
