package chat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"llmhist/platform/database"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

func TestContinuationsAtOnceDoNotSeeEachOther(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("same")))
	first, _ := f.next(t, "", `"hi"`)
	const count = 8
	ids := make([]string, count)
	var wait sync.WaitGroup
	for i := range count {
		wait.Go(func() { ids[i], _ = f.next(t, first, fmt.Sprintf(`"branch %d"`, i)) })
	}
	wait.Wait()
	for i, id := range ids {
		f.wantRecalled(t, id, fmt.Sprintf("user hi, assistant same, user branch %d, assistant same", i))
	}
}

// wantRecalled compares the conversation that a response ends.
func (f *fixture) wantRecalled(t testing.TB, id, want string) {
	t.Helper()
	answer, err := f.module.service.repository.FindAnswer(t.Context(), 1, answerID(id))
	must(t, err)
	turns, err := f.module.service.recall(t.Context(), f.place(t), answer)
	var said []string
	for _, of := range turns {
		said = append(said, of.Role+" "+of.Text)
	}
	if got := strings.Join(said, ", "); got != want || err != nil {
		t.Errorf("recalled %q, %v; want %q", got, err, want)
	}
}

func TestBranchesInOneSessionAreToldApart(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("same")))
	first, session := f.next(t, "", `"hi"`)
	// Two requests that begin while nothing is newer than the first are both kept in
	// its session, and so is what a client sends again as a whole.
	service := f.module.service
	branch := func(previous, input string) string {
		q, err := readResponse([]byte(`{"model":"demo-1","input":"` + input + `","previous_response_id":"` + previous + `"}`))
		must(t, err)
		ctx := identity.With(t.Context(), identity.Identity{UserID: 1})
		at := f.place(t)
		q, err = service.continueResponse(ctx, at, q)
		must(t, err)
		q.SessionID = session
		answer, err := service.complete(ctx, at, q.completionAsk, discarded{})
		must(t, err)
		return answer.ID
	}
	one := branch(first, "A")
	two := branch(first, "B")
	one2 := branch(one, "more")
	two2 := branch(two, "more")
	whole, _ := f.next(t, "", `[{"role":"user","content":"hi"},{"role":"assistant","content":"same"},{"role":"user","content":"B"},{"role":"assistant","content":"same"},{"role":"user","content":"C"}]`)
	spaced := branch(branch(first, "A "), "more")
	f.wantRecalled(t, spaced, "user hi, assistant same, user A , assistant same, user more, assistant same")
	if kept := len(f.stored(t, 1, session)); kept != 16 {
		t.Fatalf("%d messages in the session", kept)
	}
	f.wantRecalled(t, one2, "user hi, assistant same, user A, assistant same, user more, assistant same")
	f.wantRecalled(t, two2, "user hi, assistant same, user B, assistant same, user more, assistant same")
	f.wantRecalled(t, whole, "user hi, assistant same, user B, assistant same, user C, assistant same")
	unclear, _ := f.next(t, "", `[{"role":"user","content":"hi"},{"role":"assistant","content":"same"},{"role":"user","content":"A"},{"role":"assistant","content":"same"},{"role":"user","content":"C"}]`)
	wantRefused(t, f.goOn(alice, unclear, `"more"`), "previous_response_not_whole") // "A" or "A "
	three := branch(whole, "D")
	f.wantRecalled(t, three, "user hi, assistant same, user B, assistant same, user C, assistant same, user D, assistant same")
}

// discarded is a client that does not look.
type discarded struct{}

func (discarded) send(*message, []byte) error  { return nil }
func (discarded) flush() error                 { return nil }
func (discarded) whole(*message, []byte) error { return nil }

func TestAConversationThatWasSentWholeIsGoneOnFrom(t *testing.T) {
	const system, hi, more = `{"role":"system","content":"be brief"}`, `{"role":"user","content":"hi"}`, `{"role":"user","content":"more"}`
	for path, want := range map[string][]string{
		completions: nil,
		responses:   {system}, // there it is a part of the conversation
	} {
		f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
		send := func(messages string) (id string) {
			name := map[string]string{completions: "messages", responses: "input"}[path]
			answer := f.Do("POST", path, alice, `{"model":"demo-1","temperature":1,"`+name+`":[`+messages+`]}`) // not plain: all of it is kept
			return "resp_" + answer.Header.Get("Llmhist-Message")
		}
		send(system + "," + hi)
		id := send(system + "," + hi + "," + spoke("one") + "," + more)
		f.next(t, id, `"again"`)
		wantSent(t, up, append(want, hi, spoke("one"), more, spoke("one"), `{"role":"user","content":"again"}`)...)
		if f.onlySession(t, 1).MessageCount != 6 {
			t.Error("it did not stay in one session")
		}
	}
}

func TestAQuestionThatWasAskedAgainInAnotherWayIsNoDoubt(t *testing.T) {
	const hi, again = `{"role":"user","content":"hi"}`, `{"role":"user","content":"again"}`
	for name, c := range map[string]struct {
		one, other string
		doubtful   bool
	}{
		"order":  {`{"role":"user","content":"more"}`, `{"role":"user","content":"more"}`, false}, // of the one that is plain it is not kept
		"parts":  {`{"role":"user","content":"more"}`, `{"content":[{"type":"text","text":"more"}],"role":"user"}`, false},
		"name":   {`{"role":"user","content":"more","name":"ann"}`, `{"name":"ann","role":"user","content":"more"}`, false},
		"spaces": {`{"role":"user","content":"more"}`, `{"role":"user","content":"more "}`, true},
		"output": {`{"role":"tool","tool_call_id":"c1","content":"x"}`, `{"content":"x","name":"","tool_call_id":"c1","role":"tool"}`, false},
	} {
		first := spoke("one")
		if name == "output" {
			first = weatherCall
		}
		f, _ := behind(t, Config{}, answeringInTurn(first, spoke("one")))
		send := func(messages, settings string) (id string) {
			answer := f.Do("POST", completions, alice, `{"model":"demo-1",`+settings+`"messages":[`+messages+`]}`)
			return responsePrefix + answer.Header.Get("Llmhist-Message")
		}
		send(hi, "")
		first = hi + "," + first
		send(first+","+c.one, "")
		send(first+","+c.other, `"temperature":1,`)
		id := send(first+","+c.one+","+spoke("one")+","+again, "")
		answer := f.goOn(alice, id, `"and"`)
		if want := map[bool]int{false: 200, true: 400}[c.doubtful]; answer.Status != want {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
}

func TestADoubtfulConversationIsRefused(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
	send := func(messages string) string {
		answer := f.Do("POST", responses, alice, `{"model":"demo-1","input":[`+messages+`]}`)
		return "resp_" + answer.Header.Get("Llmhist-Message")
	}
	const developer, hi, more = `{"role":"developer","content":"it is noon"}`, `{"role":"user","content":"hi"}`, `{"role":"user","content":"more"}`
	send(developer + "," + hi)
	later := send(strings.Replace(developer, "noon", "one", 1) + "," + hi + "," + spoke("one") + "," + more)
	asked := len(up.bodies)
	wantRefused(t, f.goOn(alice, later, `"again"`), "previous_response_not_whole")
	if f.onlySession(t, 1).MessageCount != 4 || len(up.bodies) != asked {
		t.Error("a refused request left a trace")
	}
}

func TestAConversationThatIsNotTheOneAnsweredIsRefused(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
	first, session := f.next(t, "", `"hi"`)
	second, _ := f.next(t, first, `"more"`)
	must(t, f.module.service.repository.(gormRepository).db.WriteGrouped(t.Context(), func(tx database.Statements) error {
		_, err := tx.Exec("UPDATE chat_messages SET content = 'changed' WHERE session_id = ? AND position = 1", session)
		return err
	}))
	asked := len(up.bodies)
	for _, id := range []string{first, second} {
		wantRefused(t, f.goOn(alice, id, `"again"`), "previous_response_not_whole")
	}
	if len(up.bodies) != asked {
		t.Error("a provider was asked")
	}
}

func TestALongConversationIsReckonedInMemory(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
	service := f.module.service
	goOn := func(id string, patience time.Duration) (places int64, err error) {
		ctx, cancel := context.WithTimeout(identity.With(t.Context(), identity.Identity{UserID: 1}), patience)
		defer cancel()
		at, err := service.room.enter(0)
		must(t, err)
		defer at.leave()
		q, err := readResponse([]byte(`{"input":"more","previous_response_id":"` + id + `"}`))
		must(t, err)
		_, err = service.continueResponse(ctx, at, q)
		if err == nil && at.holding {
			t.Error("it goes on holding the memory for a long text")
		}
		return at.size, err
	}
	for name, c := range map[string]struct {
		bytes  int
		waits  bool
		places int64
	}{"short": {1000, false, 1}, "long": {2 * longDocument, true, 4}, "very long": {1 << 20, true, 25}} {
		service.room = newRoom(64 << 20)
		service.room.long = make(chan struct{}, 1)
		first, _ := f.next(t, "", `"`+strings.Repeat("x", c.bytes)+`"`)
		id, session := f.next(t, first, `"and"`)
		if places, err := goOn(id, deadline); err != nil || places != c.places {
			t.Errorf("%s: %d places, %v", name, places, err)
		}
		asked, room := len(up.bodies), service.room
		room.taken.Add(room.places - 2) // but for those the others have them
		answer := f.goOn(alice, id, `"more"`)
		if c.places <= 2 {
			if answer.Status != 200 {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
		} else if answer.Status != 503 || answer.Header.Get("Retry-After") == "" || member(answer.JSON(t), "error.code") != "overloaded" || len(up.bodies) != asked || len(f.stored(t, 1, session)) != 4 {
			t.Errorf("%s, without room: %d %s", name, answer.Status, answer.Body)
		}
		if taken := room.taken.Load() - room.places + 2; taken != 0 || len(room.long) != 0 {
			t.Errorf("%s: %d and %d places are left", name, taken, len(room.long))
		}
		service.room = newRoom(64 << 20)
		service.room.long = make(chan struct{}) // there is never memory
		if id, _ = f.next(t, "", `"`+strings.Repeat("x", c.bytes)+`"`); c.waits {
			if _, err := goOn(id, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		} else if _, err := goOn(id, deadline); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPicturesAndArgumentsTellConversationsApart(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("a cat")))
	look := func(picture string) string {
		return `{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"` + picture + `"}}]}`
	}
	call := func(arguments string) string {
		return `{"role":"user","content":"go"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":` + arguments + `}}]},{"role":"tool","tool_call_id":"c","content":"x"}`
	}
	send := func(messages string) string {
		return f.Do("POST", completions, alice, `{"model":"demo-1","messages":[`+messages+`]}`).Header.Get("Llmhist-Session")
	}
	outputs := func(one, two string) string {
		calls := `[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"d","type":"function","function":{"name":"f","arguments":""}}]`
		return `{"role":"user","content":"both"},{"role":"assistant","tool_calls":` + calls + `},{"role":"tool","tool_call_id":"` + one + `","content":"x"},{"role":"tool","tool_call_id":"` + two + `","content":"y"}`
	}
	custom := func(input string) string {
		return `{"role":"user","content":"run"},{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"` + input + `"}}]},{"role":"tool","tool_call_id":"c","content":"x"}`
	}
	older := func(number string) string {
		return `{"role":"user","content":"old"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":` + number + `}"}},{"role":"function","name":"f","content":"x"}`
	}
	heard := func(id string, expires int) string {
		return fmt.Sprintf(`{"role":"user","content":"say"},{"role":"assistant","content":null,"audio":{"id":%q,"expires_at":%d}},{"role":"user","content":"x"}`, id, expires)
	}
	for name, c := range map[string]struct{ first, again, other string }{
		"outputs":  {outputs("c", "d"), outputs("c", "d"), outputs("d", "c")},
		"pictures": {look("data:1"), look("data:1"), look("data:2")},
		"names":    {`{"role":"user","name":"ann","content":"hi"}`, `{"content":"hi","role":"user","name":"\u0061nn","tags":[],"cache_control":{"type":"ephemeral"}}`, `{"role":"user","name":"bob","content":"hi"}`},
		"no name":  {`{"role":"user","content":"hello"}`, `{"role":"user","content":"hello","name":null}`, `{"role":"user","content":"hello","name":"bob"}`},
		"custom":   {custom("a"), custom("a"), custom("b")},
		"unknown":  {strings.ReplaceAll(custom("a"), "custom", "new"), strings.ReplaceAll(custom("a"), "custom", "new"), strings.ReplaceAll(custom("b"), "custom", "new")},
		"older":    {older("1"), older(" 1.0"), older("2")},
		"spoken":   {heard("a", 1), heard("a", 2), heard("b", 1)},
		"decoration": {
			`{"role":"user","content":"greet"},{"role":"assistant","content":"hi","refusal":null,"annotations":[{"type":"url_citation"}],"reasoning_content":"hm"},{"role":"user","content":"x"}`,
			`{"role":"user","content":"greet"},{"role":"assistant","content":"hi","reasoning":"well","name":"bot"},{"role":"user","content":"x"}`,
			`{"role":"user","content":"greet"},{"role":"assistant","content":"hi","function_call":{"name":"f","arguments":"{}"}},{"role":"user","content":"x"}`,
		},
		"arguments": {call(`"{\"a\":1,\"b\":2}"`), call(`"{ \"b\": 2, \"a\": 1 }"`), call(`"{\"a\":2,\"b\":2}"`)},
	} {
		first := send(c.first)
		if again := send(c.again + "," + spoke("a cat") + `,{"role":"user","content":"more"}`); again != first {
			t.Errorf("%s: the same began a session", name)
		}
		if other := send(c.other + "," + spoke("a cat") + `,{"role":"user","content":"more"}`); other == first {
			t.Errorf("%s: others went on in the session", name)
		}
	}
}

func TestAConversationStaysOneWhateverItsAnswersAre(t *testing.T) {
	const hi, more = `{"role":"user","content":"hi"}`, `{"role":"user","content":"more"}`
	for name, c := range map[string]struct{ answer, again, recalled string }{
		"older call": {`{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\": 1}"},"refusal":null}`,
			`{"role":"assistant","function_call":{"arguments":"{\"a\":1}","name":"f"}}`,
			`{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\": 1}"}}`},
		"custom tool": {`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"{ 1 }"}}]}`,
			`{"role":"assistant","content":null,"tool_calls":[{"custom":{"input":"{ 1 }","name":"f"},"type":"custom","id":"c"}],"audio":null,"annotations":[]}`,
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"{ 1 }"}}]}`},
		"spoken": {`{"role":"assistant","content":null,"audio":{"id":"audio_1","data":"AAAA","transcript":"hi"}}`,
			`{"role":"assistant","audio":{"id":"audio_1"}}`, ""},
		"decorated": {`{"role":"assistant","content":"one","refusal":null,"annotations":[],"reasoning_content":"hm"}`,
			spoke("one"), spoke("one")},
		"decorated with nothing": {`{"role":"assistant","content":"one","tool_calls":null,"function_call":null,"audio":null}`,
			`{"role":"assistant","content":"one","refusal":null,"tool_calls":null,"function_call":null,"audio":null}`, spoke("one")},
		"decorated later": {spoke("one"), `{"role":"assistant","content":"one","refusal":null,"annotations":[],"reasoning_content":"hm","provider_specific_fields":{"a":1}}`, spoke("one")},
	} {
		for _, stream := range []string{"false", "true"} {
			f, up := behind(t, Config{}, answeringInTurn(c.answer))
			send := func(body string) {
				_, err := io.Copy(io.Discard, f.post(t, t.Context(), body).Body)
				must(t, err)
			}
			send(`{"model":"demo-1","stream":` + stream + `,"messages":[` + hi + `]}`)
			send(`{"model":"demo-1","stream":` + stream + `,"messages":[` + hi + "," + c.again + "," + more + `]}`)
			list, _, err := f.module.service.repository.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
			must(t, err)
			if len(list) != 1 {
				t.Errorf("%s, stream %s: %d sessions", name, stream, len(list))
				continue
			}
			last := f.stored(t, 1, list[0].ID)[3]
			if c.recalled == "" {
				wantRefused(t, f.goOn(alice, last.ID, `"again"`), "previous_response_not_whole")
				continue
			}
			f.next(t, responsePrefix+last.ID, `"again"`)
			wantSent(t, up, hi, c.recalled, more, c.recalled, `{"role":"user","content":"again"}`)
		}
	}
}

func TestTheOlderCallComesInPieces(t *testing.T) {
	const pieces = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":""}}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"function_call":{"arguments":"{\"a\""}}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"function_call":{"arguments":":1}"}}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}` + "\n\n" + doneEvent
	const call = `"function_call":{"name":"f","arguments":"{\"a\":1}"}`
	f, _ := behind(t, Config{}, replay(200, sseType, pieces))
	said, err := io.ReadAll(f.post(t, t.Context(), `{"model":"demo-1","messages":[{"role":"user","content":"hi"}]}`).Body)
	must(t, err)
	if !strings.Contains(string(said), `"message":{"role":"assistant","content":null,`+call+`}`) {
		t.Errorf("%s", said)
	}
	if kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1].Extra; kept != "{"+call+"}" {
		t.Errorf("kept %s", kept)
	}
}

func TestCallsInBrokenUTF8AreRecalled(t *testing.T) {
	for _, broken := range []string{"\xff", "\xff\xfe", "a\xf0\x9f", `\u0000`, `\ud800`} {
		for _, where := range []string{"id", "name", "arguments"} {
			members := map[string]string{"id": "c1", "name": "f", "arguments": `{}`}
			members[where] += broken
			call := `{"role":"assistant","content":null,"tool_calls":[{"id":"` + members["id"] + `","type":"function","function":{"name":"` + members["name"] + `","arguments":"` + members["arguments"] + `"}}]}`
			f, _ := behind(t, Config{}, answeringInTurn(call, spoke("one")))
			first, session := f.next(t, "", `"hi"`)
			answer := f.goOn(alice, first, `[{"type":"function_call_output","call_id":"c1","output":"x"}]`)
			if answer.Status != 200 || answer.Header.Get("Llmhist-Session") != session {
				t.Errorf("%q in the %s: %d %s", broken, where, answer.Status, answer.Body)
			}
		}
	}
}

func TestAConversationLongerThanARequestMayBeIsRefused(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
	f.module.service.room = newRoom(1)
	half := strings.Repeat("x", maxCompletionBody/2-1000)
	first, session := f.next(t, "", `"`+half+`"`)
	second, _ := f.next(t, first, `"`+half+`"`)
	asked := len(up.bodies)
	wantRefused(t, f.goOn(alice, second, `"`+half+`"`), "previous_response_too_long")
	if len(up.bodies) != asked || len(f.stored(t, 1, session)) != 4 {
		t.Error("a refused request left a trace")
	}
	wantRefused(t, f.goOn(alice, first, `"more"`, `"user":"`+half+strings.Repeat("x", 2000)+`"`), "previous_response_too_long")
	f.next(t, second, `"more"`)
	if room := f.module.service.room; len(room.long) != 0 || room.taken.Load() != 0 {
		t.Errorf("%d and %d places are left", len(room.long), room.taken.Load())
	}
}

func TestAConversationOfMoreMessagesThanARequestMayHaveIsRefused(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("one")))
	items := strings.TrimSuffix(strings.Repeat(`{"role":"user","content":"x"},`, maxTurns-1), ",")
	first, _ := f.next(t, "", "["+items+"]")
	wantRefused(t, f.goOn(alice, first, `"more"`), "previous_response_too_long")
}

func TestALongSessionIsRecalledInBatches(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one")))
	id, session := f.next(t, "", `"message 0"`)
	const count = 60
	for i := 1; i < count; i++ {
		var same string
		if id, same = f.next(t, id, fmt.Sprintf(`"message %d"`, i)); same != session {
			t.Fatal("it began a session")
		}
	}
	_, body, _ := strings.Cut(up.last(), " ")
	messages := gjson.Get(body, "messages").Array()
	if len(messages) != 2*count-1 {
		t.Fatalf("%d messages", len(messages))
	}
	for i, m := range messages {
		want := "one"
		if i%2 == 0 {
			want = fmt.Sprintf("message %d", i/2)
		}
		if m.Get("content").Str != want {
			t.Errorf("message %d is %s", i, m.Raw)
		}
	}
}

// reading keeps the longest read of messages.
type reading struct {
	repository
	reads, messages, bytes int
}

func (r *reading) ListMessages(ctx context.Context, userID int64, sessionID string, part messagePart) ([]message, error) {
	list, err := r.repository.ListMessages(ctx, userID, sessionID, part)
	bytes := 0
	for _, m := range list {
		bytes += len(m.Content) + len(m.Extra)
	}
	r.reads, r.messages, r.bytes = r.reads+1, max(r.messages, len(list)), max(r.bytes, bytes)
	return list, err
}

func TestOneReadOfARecallIsBounded(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("one")))
	tools := func(size int) string {
		return `"tools":[{"type":"function","name":"f","description":"` + strings.Repeat("x", size) + `"}]`
	}
	const long, longOnes = 256 << 10, 20
	id, session := f.next(t, "", `"message 0"`)
	for i := 1; i < longOnes+5; i++ { // the short ones let it read many at once
		size := 10
		if i < longOnes {
			size = long
		}
		var same string
		if id, same = f.next(t, id, fmt.Sprintf(`"message %d"`, i), tools(size)); same != session {
			t.Fatal("it began a session")
		}
	}
	r := &reading{repository: f.module.service.repository}
	f.module.service.repository = r
	f.next(t, id, `"more"`)
	if r.reads == 0 || r.messages > recallMessages || r.bytes > recallMessages/2*(long+1000) {
		t.Errorf("%d reads, of up to %d messages and %d bytes", r.reads, r.messages, r.bytes)
	}
	if longest := recallMessages / 2 * (maxCompletionBody + longDocument); longest > maxRecallRead {
		t.Errorf("one read may come to %d bytes", longest)
	}
}

func TestEveryEngineGoesOnFromAPreviousResponse(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		f, up := behind(t, Config{}, answeringInTurn(weatherCall, spoke("22"), spoke("33")))
		f.module.service.repository = r
		first, session := f.next(t, "", `"how warm?"`)
		second, same := f.next(t, first, `[{"type":"function_call_output","call_id":"c1","output":"22"}]`)
		f.next(t, second, `"more"`)
		wantSent(t, up, `{"role":"user","content":"how warm?"}`, weatherCall, `{"role":"tool","tool_call_id":"c1","content":"22"}`, spoke("22"), `{"role":"user","content":"more"}`)
		if same != session {
			t.Error("it began a session")
		}
		must(t, r.DeleteSession(t.Context(), 1, session))
		wantRefused(t, f.goOn(alice, second, `"more"`), "previous_response_not_found")
	})
}
