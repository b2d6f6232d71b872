package chat

import "slices"

// exchange is a question with its usable answer.
type exchange struct{ question, answer message }

// cost returns the estimated tokens of the exchange in a prompt.
func (e exchange) cost() int64 {
	return 2*messageOverhead + estimateTokens(e.question.Content) + estimateTokens(e.answer.Content)
}

// exchanges pairs the messages of a session, given newest first, and returns
// the pairs newest first. A question whose answer failed, is still being made
// or is empty is left out together with it: the user has asked again or will,
// and many models accept only prompts whose roles alternate.
func exchanges(newestFirst []message) []exchange {
	var pairs []exchange
	for i := 0; i+1 < len(newestFirst); i++ {
		answer, question := newestFirst[i], newestFirst[i+1]
		if answer.usable() && question.Role == roleUser && question.Position+1 == answer.Position {
			pairs = append(pairs, exchange{question, answer})
		}
	}
	return pairs
}

// window collects the newest exchanges of a session that fit into a token
// budget: the system prompt and the current question are always kept, the
// oldest exchanges are dropped first, and never one from the middle.
type window struct {
	system  string
	current string
	left    int64
	full    bool
	pairs   []exchange // newest first
}

// newWindow returns a window for a budget of contextTokens of which reserve is
// kept free for the answer.
func newWindow(system, current string, contextTokens, reserve int64) *window {
	left := contextTokens - reserve - requestOverhead - messageOverhead - estimateTokens(current)
	if system != "" {
		left -= messageOverhead + estimateTokens(system)
	}
	return &window{system: system, current: current, left: left}
}

// add takes further, older exchanges, newest first, and reports whether there
// may be room for even older ones.
func (w *window) add(pairs []exchange) bool {
	for _, pair := range pairs {
		cost := pair.cost()
		if w.full || cost > w.left {
			w.full = true
			return false
		}
		w.left -= cost
		w.pairs = append(w.pairs, pair)
	}
	return !w.full && w.left > 2*messageOverhead
}

// prompt returns what the provider is sent, oldest first.
func (w *window) prompt() []PromptMessage {
	messages := make([]PromptMessage, 0, 2*len(w.pairs)+2)
	if w.system != "" {
		messages = append(messages, PromptMessage{Role: roleSystem, Content: w.system})
	}
	for _, pair := range slices.Backward(w.pairs) {
		messages = append(messages,
			PromptMessage{Role: roleUser, Content: pair.question.Content},
			PromptMessage{Role: roleAssistant, Content: pair.answer.Content})
	}
	return append(messages, PromptMessage{Role: roleUser, Content: w.current})
}

// answerReserve returns how much of the context is kept free for the answer:
// what the client asked for, at most half of the context, else an eighth of it,
// at most 1,024. max_tokens is a bound that many clients set high to be safe: it
// must not cost them the whole history.
func answerReserve(maxTokens, contextTokens int64) int64 {
	if maxTokens > 0 {
		return min(maxTokens, contextTokens/2)
	}
	return min(contextTokens/8, 1024)
}
