package chat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTokensAreEstimatedByScript(t *testing.T) {
	cases := map[string]struct {
		text     string
		min, max int64
	}{
		"nothing":       {"", 0, 0},
		"one letter":    {"a", 1, 1},
		"English":       {"The quick brown fox jumps over the lazy dog.", 9, 13}, // 10 by o200k_base
		"Chinese":       {"今天天气很好", 6, 9},
		"Russian":       {"Привет, как дела?", 5, 10},
		"Thai":          {"สวัสดี", 3, 7},
		"emoji":         {"🦊🦊", 2, 4},
		"a long word":   {strings.Repeat("a", 4000), 1000, 1000},
		"invalid UTF-8": {"\xff\xfe", 1, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := estimateTokens(c.text); got < c.min || got > c.max {
				t.Fatalf("%d, want %d to %d", got, c.min, c.max)
			}
		})
	}
}

// dialogue makes the stored messages of a session, newest first, from pairs of
// an answer's state and its text. Every question is "q" and its number.
func dialogue(answers ...[2]string) []message {
	var newestFirst []message
	for i, a := range answers {
		number := string(rune('1' + i))
		question := message{Role: roleUser, Status: statusCompleted, Content: "q" + number, Position: int64(2*i + 1)}
		answer := message{Role: roleAssistant, Status: a[0], Content: a[1], Position: int64(2*i + 2)}
		newestFirst = append([]message{answer, question}, newestFirst...)
	}
	return newestFirst
}

func said(messages []PromptMessage) string {
	var parts []string
	for _, m := range messages {
		parts = append(parts, m.Role[:1]+":"+m.Content)
	}
	return strings.Join(parts, " ")
}

func TestHistoryKeepsTheSystemPromptAndTheNewestThatFits(t *testing.T) {
	ok := func(text string) [2]string { return [2]string{statusCompleted, text} }
	const pair = 2*messageOverhead + 2 // a question and an answer of up to four letters
	const around = requestOverhead + messageOverhead + 1
	cases := map[string]struct {
		system  string
		history []message
		budget  int64
		reserve int64
		want    string
	}{
		"no history":                         {"", nil, 1000, 0, "u:now"},
		"everything fits":                    {"be", dialogue(ok("a1"), ok("a2")), 1000, 0, "s:be u:q1 a:a1 u:q2 a:a2 u:now"},
		"the oldest is dropped first":        {"", dialogue(ok("a1"), ok("a2"), ok("a3")), around + 2*pair, 0, "u:q2 a:a2 u:q3 a:a3 u:now"},
		"one token less drops one more":      {"", dialogue(ok("a1"), ok("a2"), ok("a3")), around + 2*pair - 1, 0, "u:q3 a:a3 u:now"},
		"the reserve counts":                 {"", dialogue(ok("a1"), ok("a2")), around + 2*pair, 1, "u:q2 a:a2 u:now"},
		"the system prompt is always kept":   {strings.Repeat("s", 400), dialogue(ok("a1")), 50, 0, "s:" + strings.Repeat("s", 400) + " u:now"},
		"the question is always kept":        {"", dialogue(ok("a1")), 1, 0, "u:now"},
		"a reserve above the budget":         {"", dialogue(ok("a1")), 100, 1_000_000, "u:now"},
		"no gap behind one that is too long": {"", dialogue(ok("a1"), ok(strings.Repeat("x", 4000)), ok("a3")), 200, 0, "u:q3 a:a3 u:now"},
		"failed answers go with the question": {"", dialogue(ok("a1"), [2]string{statusFailed, "half"}, ok("a3")), 1000, 0,
			"u:q1 a:a1 u:q3 a:a3 u:now"},
		"a cancelled answer with text stays":  {"", dialogue([2]string{statusCancelled, "half"}), 1000, 0, "u:q1 a:half u:now"},
		"a cancelled one without goes":        {"", dialogue([2]string{statusCancelled, ""}), 1000, 0, "u:now"},
		"one still processing goes":           {"", dialogue(ok("a1"), [2]string{statusProcessing, ""}), 1000, 0, "u:q1 a:a1 u:now"},
		"an answer without its question goes": {"", append(dialogue(ok("a1"), ok("a2"))[:1], dialogue(ok("a1"))...), 1000, 0, "u:q1 a:a1 u:now"},
		"a question is no other's answer's":   {"", append(dialogue(ok("a1"), ok("a2"))[:1], dialogue(ok("a1"))[1:]...), 1000, 0, "u:now"},
		"an empty answer goes":                {"", dialogue([2]string{statusCompleted, ""}), 1000, 0, "u:now"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWindow(c.system, "now", c.budget, c.reserve)
			w.add(exchanges(c.history))
			prompt := w.prompt()
			if diff := cmp.Diff(c.want, said(prompt)); diff != "" {
				t.Fatal(diff)
			}
			if cost := estimatePrompt(prompt); len(prompt) > 2 && cost+c.reserve > c.budget {
				t.Fatalf("%d tokens with history, budget %d", cost, c.budget)
			}
		})
	}
}

func TestTheRoomForTheAnswerLeavesRoomForHistory(t *testing.T) {
	for name, c := range map[string]struct{ maxTokens, context, want int64 }{
		"nothing asked for":         {0, 4000, 500},
		"a large context":           {0, 100_000, 1024},
		"as much as asked for":      {100, 8000, 100},
		"no more than half":         {8192, 8000, 4000},
		"a bound without a meaning": {1_000_000, 8000, 4000},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answerReserve(c.maxTokens, c.context); got != c.want {
				t.Fatalf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestAWindowFilledInBatchesIsTheSameAsInOne(t *testing.T) {
	ok := func(text string) [2]string { return [2]string{statusCompleted, text} }
	all := dialogue(ok("a1"), ok("a2"), [2]string{statusFailed, ""}, ok("a4"), ok("a5"))
	atOnce, inParts := newWindow("", "now", 1000, 0), newWindow("", "now", 1000, 0)
	atOnce.add(exchanges(all))
	inParts.add(exchanges(all[:4]))
	inParts.add(exchanges(all[4:]))
	if diff := cmp.Diff(said(atOnce.prompt()), said(inParts.prompt())); diff != "" {
		t.Fatal(diff)
	}
}

func TestTitlesComeFromTheFirstMessage(t *testing.T) {
	cases := map[string]struct{ message, want string }{
		"a short one is kept":           {"Hello there", "Hello there"},
		"white space becomes one space": {"  two\n\nlines\tand\u0000more ", "two lines and more"},
		"a long one is cut at a word": {"Please explain how the history of a chat is kept within the context",
			"Please explain how the history of a chat is kept within…"},
		"a long word is cut":            {strings.Repeat("x", 100), strings.Repeat("x", 59) + "…"},
		"characters are never cut":      {strings.Repeat("🦊", 100), strings.Repeat("🦊", 59) + "…"},
		"sixty characters are not long": {strings.Repeat("é", 60), strings.Repeat("é", 60)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := deriveTitle(c.message); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}
