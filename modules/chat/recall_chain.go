package chat

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// recalled is an exchange as messages of a chat completion.
type recalled struct {
	id       string // of the answer
	thread   string // of the answer
	response bool   // it was asked for as one of OpenAI's responses
	previous string // id of the answer that the request named
	restated string // instructedBy of what a request without one sent again
	turns    []turn // what was new in the request, and the answer
	size     int    // bytes
}

// recallExchange returns what was said in an exchange, or false when not all that
// counts was kept of it.
func recallExchange(question, answer message) (recalled, bool) {
	s := recalled{id: answer.ID, thread: answer.Thread}
	if answer.Role != roleAssistant || question.Position+1 != answer.Position || answer.Status != statusCompleted || answer.Thread == "" {
		return s, false
	}
	extra := gjson.Parse(question.Extra)
	if of := extra.Get("response"); of.Exists() {
		s.response = true
		s.previous = answerID(of.Get(previousField).Str)
		s.restated = strings.Clone(of.Get("instructed").Str)
	}
	ok := true
	if messages := extra.Get("messages"); messages.Exists() {
		messages.ForEach(func(_, message gjson.Result) bool {
			ok = ok && s.add(strings.Clone(message.Raw)) // a clone, as the rest of extra may be long
			return true
		})
	} else {
		ok = s.addMember(map[string]any{"role": roleUser, "content": question.Content})
	}
	spoken, whole := spokenIn(answer)
	return s, ok && whole && s.addMember(spoken)
}

// spokenIn returns an answer as a client would send it again.
func spokenIn(answer message) (completionMember, bool) {
	var kept struct {
		completionCalls
		Audio string `json:"audio_id"`
	}
	if answer.Extra != "" && json.Unmarshal([]byte(answer.Extra), &kept) != nil {
		return completionMember{}, false
	}
	m := completionMember{Role: roleAssistant, completionCalls: kept.completionCalls}
	if answer.Content != "" || m.none() {
		m.Content = &answer.Content
	}
	return m, kept.Audio == "" && m.named() && len(m.ToolCalls) < maxCalls
}

func (s *recalled) addMember(member any) bool {
	data, err := json.Marshal(member)
	return err == nil && s.add(string(data))
}

func (s *recalled) add(raw string) bool {
	t, ok := readTurn(gjson.Parse(raw))
	if !s.response && t.isInstruction() {
		return ok // as instructions, these are of their request alone
	}
	s.turns = append(s.turns, t)
	s.size += len(raw)
	return ok
}

// begins reports whether the exchange is a whole conversation: nothing was said
// before it.
func (s recalled) begins() bool {
	all := newThread()
	for _, t := range s.turns {
		all.add(t)
	}
	return all.name() == s.thread
}

// chained is an exchange with all that was said before it.
type chained struct {
	recalled
	before     *chained // nil = nothing
	all        thread   // up to and including this exchange
	instructed string   // instructedBy of all
	doubtful   bool     // what was before may have been something else
}

// after returns the exchange as one that follows before, or nil when it follows
// something else.
func (s recalled) after(before *chained) *chained {
	c := &chained{recalled: s, before: before, all: newThread()}
	if before != nil {
		c.all, c.instructed = before.all.clone(), before.instructed
		c.doubtful = before.doubtful || s.previous == "" && s.restated != before.instructed
	}
	for _, t := range s.turns {
		c.all.add(t)
		c.instructed = instructedBy(c.instructed, t)
	}
	if c.all.name() != s.thread {
		return nil
	}
	return c
}

// chain puts exchanges of a session together, given the oldest first.
type chain struct {
	list  []*chained
	spent int // bytes that digests were made of
}

// maxSpent bounds the work of finding out what follows what.
const maxSpent = 64 << 20

// follow returns the messages of the conversation that the last exchange ends.
func follow(exchanges []recalled) ([]turn, error) {
	var c chain
	var last *chained
	for _, exchange := range exchanges {
		if last = c.place(exchange); last != nil {
			c.list = append(c.list, last)
		}
		if c.spent > maxSpent {
			return nil, tooLongToRecall()
		}
	}
	if last == nil || last.doubtful {
		return nil, notRecalled()
	}
	var parts [][]turn
	for ; last != nil; last = last.before {
		parts = append(parts, last.turns)
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), nil
}

// place finds what an exchange follows, nil when that is not there. Of a request
// that named it the id tells, of others the digest. Most follow the newest one, or
// are another answer to the same.
func (c *chain) place(exchange recalled) *chained {
	if at := slices.IndexFunc(c.list, func(one *chained) bool { return one.id == exchange.previous }); at >= 0 {
		if found := c.try(exchange, c.list[at]); found != nil {
			return found
		}
	}
	if exchange.previous != "" {
		return c.try(exchange, nil) // the first one of a branch
	}
	if n := len(c.list); n > 0 {
		for _, before := range []*chained{c.list[n-1], c.list[n-1].before} {
			if found := c.try(exchange, before); found != nil {
				return c.judged(found)
			}
		}
	}
	for _, before := range slices.Backward(c.list) {
		if found := c.try(exchange, before); found != nil {
			return c.judged(found)
		}
		if c.spent > maxSpent {
			return nil
		}
	}
	return c.try(exchange, nil)
}

func (c *chain) try(exchange recalled, before *chained) *chained {
	c.spent += exchange.size + 256
	return exchange.after(before)
}

// judged marks an exchange doubtful that could follow another one just as well,
// in which something else was said.
func (c *chain) judged(found *chained) *chained {
	for _, other := range c.list {
		if found.before != nil && other.thread == found.before.thread && !c.equal(other, found.before) {
			found.doubtful = true
		}
	}
	return found
}

// equal reports whether the same was said in both.
func (c *chain) equal(a, b *chained) bool {
	for ; a != b; a, b = a.before, b.before {
		if a == nil || b == nil || len(a.turns) != len(b.turns) {
			return false
		}
		for i := range a.turns {
			if !c.same(a.turns[i], b.turns[i]) {
				return false
			}
		}
	}
	return true
}

// same reports whether two messages say the same, in whatever order of members.
func (c *chain) same(a, b turn) bool {
	if a.Raw == b.Raw {
		return true
	}
	c.spent += len(a.Raw) + len(b.Raw)
	return c.spent <= maxSpent && a.Role == b.Role && a.Text == b.Text && a.callID == b.callID && a.audio == b.audio &&
		slices.EqualFunc(a.calls, b.calls, toolCall.same) &&
		slices.Equal(a.otherParts(), b.otherParts()) && slices.Equal(a.otherMembers(), b.otherMembers())
}
