package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// conversation is one chat session and what its writer was told about it.
type conversation struct {
	id    string
	owner *account
	fact  *fact

	mu      sync.Mutex
	replies []reply
}

// reply is an answer of which a client saw something.
type reply struct {
	id, question string
	seen         string // what came
	whole        bool   // it was told to be complete
}

// chatWriter holds conversations, plain or streamed, and deletes some of them.
type chatWriter struct {
	field  *field
	owner  *account
	stream bool
	leaves bool // some of the streams are left in the middle
	now    *conversation
}

// repliesEach is how many answers a conversation gets before the next begins.
const repliesEach = 4

func (w *chatWriter) step() bool {
	if w.now != nil && w.now.count() >= repliesEach {
		return w.turn()
	}
	question := w.field.mark("question")
	body := object{"message": question, "model": "demo-1"}
	if w.now != nil {
		body["session_id"] = w.now.id
	}
	w.field.ledger.ask(w.owner.access)
	if w.stream {
		body["stream"] = true
		return w.streamed(question, body)
	}
	got, out := w.field.ask(http.MethodPost, "/chat", w.owner.access, body, http.StatusOK)
	if out != done {
		w.field.ledger.unask(w.owner.access, got.err)
		w.now = nil
		return false
	}
	w.field.ledger.answer(w.owner.access)
	if content := got.text("content"); content != answerTo(question) {
		w.field.violate("the answer to %q is %.80q", question, content)
	}
	w.heard(got.text("session_id"), reply{id: got.text("message_id"), question: question, seen: got.text("content"), whole: true}, "chat answer")
	return true
}

// heard notes an answer, and the conversation when it is new.
func (w *chatWriter) heard(session string, r reply, kind string) {
	if w.now == nil {
		w.now = &conversation{id: session, owner: w.owner}
		w.now.fact = w.field.book.add("chat session", noCheck)
	}
	w.now.mu.Lock()
	w.now.replies = append(w.now.replies, r)
	w.now.mu.Unlock()
	w.field.book.count(kind)
	w.field.book.change(w.now.fact, w.field.kept(w.now))
}

// turn ends a conversation: it is deleted, or stays as it is.
func (w *chatWriter) turn() bool {
	of := w.now
	w.now = nil
	if !chance(3) {
		return true
	}
	w.field.book.change(of.fact, func(c *client) error {
		if c.absent("/chat/sessions/"+of.id, of.owner.access) == nil {
			return nil
		}
		return w.field.kept(of)(c)
	})
	_, out := w.field.ask(http.MethodDelete, "/chat/sessions/"+of.id, of.owner.access, nil, http.StatusNoContent)
	if out == done {
		w.field.book.count("chat session deletion")
		w.field.book.change(of.fact, func(c *client) error { return c.absent("/chat/sessions/"+of.id, of.owner.access) })
	}
	return out == done
}

func (of *conversation) count() int {
	of.mu.Lock()
	defer of.mu.Unlock()
	return len(of.replies)
}

// kept returns the check that a conversation has every answer that was heard.
func (f *field) kept(of *conversation) func(c *client) error {
	return func(c *client) error {
		found, err := c.find("/chat/sessions/"+of.id+"?per_page=100", of.owner.access)
		if err != nil {
			return err
		}
		stored := map[string]object{}
		list, _ := found["messages"].([]any)
		questions := map[string]bool{}
		for _, one := range list {
			message, _ := one.(object)
			stored[fmt.Sprint(message["id"])] = message
			if message["role"] == "user" {
				questions[fmt.Sprint(message["content"])] = true
			}
		}
		of.mu.Lock()
		defer of.mu.Unlock()
		for _, r := range of.replies {
			if err := f.matches(r, stored[r.id]); err != nil || !questions[r.question] {
				return fmt.Errorf("session %s, answer %s (its question is there: %t): %w", of.id, r.id, questions[r.question], err)
			}
		}
		return nil
	}
}

// matches holds an answer that was heard against the stored message: a whole one
// is equal, one that was broken off is at least as long.
func (f *field) matches(r reply, stored object) error {
	content, _ := stored["content"].(string)
	status := stored["status"]
	switch {
	case stored == nil:
		return fmt.Errorf("it is gone")
	case r.whole && status == "completed" && content == r.seen:
		return nil
	case r.whole:
		return fmt.Errorf("%d bytes were acknowledged, %v with %d bytes is stored", len(r.seen), status, len(content))
	case status == "failed" && !f.strict, status == "processing" && !f.settle.Load():
		return nil // the server or an engine ended with it
	case (status == "completed" || status == "cancelled") && strings.HasPrefix(content, r.seen):
		return nil
	default:
		return fmt.Errorf("a client saw %d bytes of what is %v with %d bytes", len(r.seen), status, len(content))
	}
}

// streamed asks for an answer in pieces. It may leave after a random number of
// bytes.
func (w *chatWriter) streamed(question string, body object) bool {
	ctx, leave := context.WithTimeout(context.Background(), patience)
	defer leave()
	began := time.Now()
	response, err := w.field.client.Load().open(ctx, http.MethodPost, "/chat", w.owner.access, body)
	if err != nil {
		w.field.ledger.unask(w.owner.access, err)
		w.field.judge("POST /chat, streamed", began, answer{err: err})
		w.now = nil
		return false
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		w.field.judge("POST /chat, streamed", began, answer{status: response.StatusCode, body: data})
		w.now = nil
		return false
	}
	from, leaving := io.Reader(response.Body), w.leaves && chance(2)
	if leaving {
		from = io.LimitReader(from, rand.Int64N(6000))
	}
	told := readStream(from)
	if leaving && !told.whole {
		leave()
	}
	return w.concluded(question, told, began, leaving)
}

// concluded notes what a stream told.
func (w *chatWriter) concluded(question string, told telling, began time.Time, leaving bool) bool {
	if told.message == "" { // it broke off before its first event
		if !leaving {
			w.field.judge("POST /chat, streamed", began, answer{err: io.ErrUnexpectedEOF})
		}
		w.now = nil
		return false
	}
	if !strings.HasPrefix(answerTo(question), told.seen) || told.whole && told.seen != answerTo(question) {
		w.field.violate("the streamed answer to %q is %.80q", question, told.seen)
	}
	kind := "streamed answer"
	switch {
	case told.whole:
		w.field.ledger.answer(w.owner.access)
	case told.problem != nil:
		w.field.judge("event error of POST /chat", began, *told.problem)
		kind = "broken stream"
	case leaving:
		kind = "left stream"
	default:
		w.field.judge("POST /chat, streamed", began, answer{err: io.ErrUnexpectedEOF})
		kind = "broken stream"
	}
	w.heard(told.session, reply{id: told.message, question: question, seen: told.seen, whole: told.whole}, kind)
	return told.whole || leaving
}

// telling is what a stream told.
type telling struct {
	session, message string
	seen             string
	whole            bool
	problem          *answer
}

// readStream reads events until the stream ends or breaks off; half a line tells
// nothing.
func readStream(from io.Reader) telling {
	var told telling
	var event string
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return told
		}
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = strings.TrimSpace(name)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		told.take(event, []byte(data))
	}
}

func (t *telling) take(event string, data []byte) {
	var members struct {
		SessionID string `json:"session_id"`
		MessageID string `json:"message_id"`
		Content   string `json:"content"`
		Status    int    `json:"status"`
	}
	if json.Unmarshal(data, &members) != nil {
		return
	}
	switch event {
	case "start":
		t.session, t.message = members.SessionID, members.MessageID
	case "delta":
		t.seen += members.Content
	case "done":
		t.whole = true
		if strings.HasPrefix(members.Content, t.seen) { // else the pieces were others, which shows
			t.seen = members.Content
		}
	case "error":
		t.problem = &answer{status: members.Status, body: data}
	}
}
