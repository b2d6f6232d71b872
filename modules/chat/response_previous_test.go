package chat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"llmhist/platform/identity"
	"llmhist/platform/testkit"
)

// answeringInTurn answers with these messages, one after the other, and then
// with the last one again.
func answeringInTurn(messages ...string) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		message := messages[min(n, len(messages)-1)]
		n++
		mu.Unlock()
		replay(200, jsonType, `{"choices":[{"message":`+message+`}]}`)(w, r)
	}
}

func spoke(content string) string { return fmt.Sprintf(`{"role":"assistant","content":%q}`, content) }

const weatherCall = `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]}`

// next sends a response that goes on from an earlier one, "" = from none, and
// returns its id and session.
func (f *fixture) next(t testing.TB, previous, input string, members ...string) (id, session string) {
	t.Helper()
	answer := f.goOn(alice, previous, input, members...)
	if answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	body := answer.JSON(t)
	if got := member(body, "previous_response_id"); got != previous || body["store"] != true {
		t.Errorf("previous_response_id %q, store %v", got, body["store"])
	}
	return member(body, "id"), answer.Header.Get("Llmhist-Session")
}

func (f *fixture) goOn(as testkit.Caller, previous, input string, members ...string) testkit.Answer {
	members = append(members, `"model":"demo-1"`, `"input":`+input)
	if previous != "" {
		members = append(members, `"previous_response_id":"`+previous+`"`)
	}
	return f.Do("POST", responses, as, "{"+strings.Join(members, ",")+"}")
}

// wantSent compares the messages that the provider was sent last.
func wantSent(t testing.TB, up *recorded, messages ...string) {
	t.Helper()
	_, body, _ := strings.Cut(up.last(), " ")
	var got, want any
	must(t, json.Unmarshal([]byte(gjson.Get(body, "messages").Raw), &got))
	must(t, json.Unmarshal([]byte("["+strings.Join(messages, ",")+"]"), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func wantRefused(t testing.TB, answer testkit.Answer, code string) {
	t.Helper()
	body := answer.JSON(t)
	if answer.Status != 400 || member(body, "error.code") != code || member(body, "error.param") != "previous_response_id" || member(body, "error.type") != "invalid_request_error" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestAResponseGoesOnFromAPreviousOneInItsSession(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one <b>"), spoke("two"), spoke("three")))
	first, session := f.next(t, "", `"hi & \u0041"`, `"instructions":"in French"`)
	second, same := f.next(t, first, `[{"role":"user","content":"more"}]`, `"instructions":"in German"`)
	wantSent(t, up, `{"role":"system","content":"in German"}`, `{"role":"user","content":"hi & A"}`, `{"role":"assistant","content":"one <b>"}`, `{"role":"user","content":"more"}`)
	if same != session {
		t.Error("the second began a session")
	}
	answer := f.goOn(alice, strings.TrimPrefix(second, "resp_"), `"again"`)
	wantSent(t, up, `{"role":"user","content":"hi & A"}`, `{"role":"assistant","content":"one <b>"}`, `{"role":"user","content":"more"}`,
		`{"role":"assistant","content":"two"}`, `{"role":"user","content":"again"}`)
	if got := member(answer.JSON(t), "previous_response_id"); got != second {
		t.Errorf("an id without the prefix comes back as %q", got)
	}
	kept := f.stored(t, 1, session)
	var said []string
	for _, m := range kept {
		said = append(said, m.Content+" "+m.Extra)
	}
	want := []string{"hi & A ", "one <b> ", `more {"response":{"previous_response_id":"` + first + `"}}`, "two ", `again {"response":{"previous_response_id":"` + second + `"}}`, "three "}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func TestAResponseGoesOnWithToolsAndTheirOutputs(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(weatherCall, strings.ReplaceAll(weatherCall, "c1", "c2"), spoke("22")))
	const tools = `"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]`
	first, session := f.next(t, "", `"how warm?"`, tools)
	second, _ := f.next(t, first, `[{"type":"function_call_output","call_id":"c1","output":"no"}]`, tools)
	third, last := f.next(t, second, `[{"type":"function_call_output","call_id":"c2","output":"22"}]`, tools)
	conversation := []string{`{"role":"user","content":"how warm?"}`, weatherCall, `{"role":"tool","tool_call_id":"c1","content":"no"}`,
		strings.ReplaceAll(weatherCall, "c1", "c2"), `{"role":"tool","tool_call_id":"c2","content":"22"}`}
	wantSent(t, up, conversation...)
	f.next(t, third, `"thanks"`)
	wantSent(t, up, append(conversation, spoke("22"), `{"role":"user","content":"thanks"}`)...)
	if last != session || len(f.stored(t, 1, session)) != 8 {
		t.Error("it did not stay in one session")
	}
}

func TestAPictureOfAnEarlierRequestIsSentAgainAsItWas(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("a cat")))
	const picture = `data:image/png;base64,iVBO+/Rw=`
	first, _ := f.next(t, "", `[{"role":"user","content":[{"type":"input_text","text":"what?"},{"type":"input_image","image_url":"`+picture+`","detail":"low"}]}]`)
	second, _ := f.next(t, first, `"sure?"`)
	f.next(t, second, `"really?"`)
	wantSent(t, up, `{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"`+picture+`","detail":"low"}}]}`,
		spoke("a cat"), `{"role":"user","content":"sure?"}`, spoke("a cat"), `{"role":"user","content":"really?"}`)
}

func TestInstructionsAreOfOneRequestAndMessagesOfDevelopersStay(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one"), spoke("two")))
	const tool = `"tools":[{"type":"function","name":"f"}]` // so that the request is kept as it was sent
	first, session := f.next(t, "", `[{"role":"developer","content":"no jokes"},{"role":"user","content":"hi"}]`, `"instructions":"in French"`, tool)
	f.next(t, first, `"more"`)
	wantSent(t, up, `{"role":"system","content":"no jokes"}`, `{"role":"user","content":"hi"}`, spoke("one"), `{"role":"user","content":"more"}`)
	if extra := f.stored(t, 1, session)[0].Extra; !strings.Contains(extra, `"response":{"instructions":"in French"}`) {
		t.Errorf("kept %s", extra)
	}
}

func TestABranchFromAnOlderResponseBeginsASession(t *testing.T) {
	f, up := behind(t, Config{}, answeringInTurn(spoke("one"), spoke("two"), spoke("other"), spoke("last")))
	first, session := f.next(t, "", `"hi"`)
	second, _ := f.next(t, first, `"more"`)
	branch, own := f.next(t, first, `"or else"`, `"instructions":"in French"`)
	wantSent(t, up, `{"role":"system","content":"in French"}`, `{"role":"user","content":"hi"}`, spoke("one"), `{"role":"user","content":"or else"}`)
	if own == session {
		t.Error("the branch is in the session it leaves")
	}
	_, same := f.next(t, branch, `"and"`)
	wantSent(t, up, `{"role":"user","content":"hi"}`, spoke("one"), `{"role":"user","content":"or else"}`, spoke("other"), `{"role":"user","content":"and"}`)
	if same != own {
		t.Error("the branch does not go on in its session")
	}
	f.next(t, second, `"and"`)
	wantSent(t, up, `{"role":"user","content":"hi"}`, spoke("one"), `{"role":"user","content":"more"}`, spoke("two"), `{"role":"user","content":"and"}`)
	if f.Do("DELETE", "/chat/sessions/"+session, alice, nil).Status != 204 {
		t.Fatal("not deleted")
	}
	f.next(t, branch, `"still there?"`) // it has all of its own
}

func TestContinuationsAtOnceDoNotSeeEachOther(t *testing.T) {
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		replay(200, jsonType, `{"choices":[{"message":`+spoke("same")+`}]}`)(w, r)
	})
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
	if kept := len(f.stored(t, 1, session)); kept != 12 {
		t.Fatalf("%d messages in the session", kept)
	}
	f.wantRecalled(t, one2, "user hi, assistant same, user A, assistant same, user more, assistant same")
	f.wantRecalled(t, two2, "user hi, assistant same, user B, assistant same, user more, assistant same")
	f.wantRecalled(t, whole, "user hi, assistant same, user B, assistant same, user C, assistant same")
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
			answer := f.Do("POST", path, alice, `{"model":"demo-1","`+name+`":[`+messages+`]}`)
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
	for name, c := range map[string]struct{ first, again, other string }{
		"pictures":  {look("data:1"), look("data:1"), look("data:2")},
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

func TestAPreviousResponseThatIsNotThereIsRefusedInOneWay(t *testing.T) {
	broken := false
	f, up := behind(t, Config{MaxAnswerBytes: 10}, func(w http.ResponseWriter, r *http.Request) {
		if broken {
			replay(401, jsonType, `{}`)(w, r)
			return
		}
		answeringInTurn(spoke("one"))(w, r)
	})
	first, _ := f.next(t, "", `"hi"`)
	gone, session := f.next(t, "", `"bye"`)
	if f.Do("DELETE", "/chat/sessions/"+session, alice, nil).Status != 204 {
		t.Fatal("not deleted")
	}
	broken = true
	if f.goOn(alice, first, `"more"`).Status != 502 {
		t.Fatal("it did not fail")
	}
	broken = false
	list := f.stored(t, 1, f.onlySession(t, 1).ID)
	asked := len(up.bodies)
	refused := f.goOn(bob, first, `"more"`)
	wantRefused(t, refused, "previous_response_not_found")
	for name, id := range map[string]string{
		"unknown": "resp_" + f.module.service.newID(f.clock.Now()), "no id": "resp_1", "empty": "resp_", "deleted": gone, "failed": list[3].ID, "a question": list[0].ID, "upper case": strings.ToUpper(first),
	} {
		answer := f.goOn(alice, id, `"more"`)
		wantRefused(t, answer, "previous_response_not_found")
		if member(answer.JSON(t), "error.message") != member(refused.JSON(t), "error.message") {
			t.Errorf("%s: %s is not what a stranger is told", name, answer.Body)
		}
	}
	if answer := f.Do("POST", responses, alice, `{"input":"x","previous_response_id":5}`); answer.Status != 400 || member(answer.JSON(t), "error.param") != "previous_response_id" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer := f.Do("POST", responses, alice, `{"input":"x","previous_response_id":null}`); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if len(up.bodies) != asked+1 {
		t.Error("a provider was asked")
	}
	retried, same := f.next(t, first, `"more"`)
	if same != list[0].SessionID {
		t.Error("a request after one that failed began a session")
	}
	f.wantRecalled(t, retried, "user hi, assistant one, user more, assistant one")
}

func TestAnAnswerUnderWayIsNotGoneOnFrom(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-goOn
		answeringInTurn(spoke("one"))(w, r)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.goOn(alice, "", `"hi"`)
	}()
	within(t, "the answer is under way", begun)
	open := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	wantRefused(t, f.goOn(alice, open.ID, `"more"`), "previous_response_not_found")
	close(goOn)
	within(t, "it ends", done)
}

func TestAnAnswerThatWasCutHereIsNotGoneOnFrom(t *testing.T) {
	f, _ := behind(t, Config{MaxAnswerBytes: 6}, answeringInTurn(spoke("a long answer")))
	whole := f.goOn(alice, "", `"hi"`).JSON(t)
	if whole["store"] != false || whole["status"] != "incomplete" {
		t.Errorf("%v", whole)
	}
	wantRefused(t, f.goOn(alice, member(whole, "id"), `"more"`), "previous_response_not_whole")
}

func TestAnAnswerOfTheNativeChatIsNotGoneOnFrom(t *testing.T) {
	f, _ := behind(t, Config{}, answeringInTurn(spoke("one")))
	native := f.say(t, alice, map[string]any{"message": "hi"})
	list := f.stored(t, 1, member(native, "session_id"))
	wantRefused(t, f.goOn(alice, list[1].ID, `"more"`), "previous_response_not_whole")
}

func TestAStreamedResponseGoesOnFromAPreviousOne(t *testing.T) {
	f, up := behind(t, Config{}, replay(200, sseType, chunk("Hello")+stopChunk+usageChunk+doneEvent))
	f.respond(t, `{"model":"demo-1","input":"hi","stream":true}`)
	first := f.stored(t, 1, f.onlySession(t, 1).ID)[1].ID
	events := f.respond(t, `{"model":"demo-1","input":"more","stream":true,"previous_response_id":"resp_`+first+`"}`)
	wantSent(t, up, `{"role":"user","content":"hi"}`, spoke("Hello"), `{"role":"user","content":"more"}`)
	if last := events[len(events)-1]; !strings.HasPrefix(last, "response.completed") || f.onlySession(t, 1).MessageCount != 4 {
		t.Error(last)
	}
	if answer := f.goOn(bob, first, `"more"`, `"stream":true`); answer.Status != 400 {
		t.Errorf("%d %s", answer.Status, answer.Body)
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
	f.next(t, second, `"more"`)
	if room := f.module.service.room; len(room.long) != 0 || len(room.places) != 0 {
		t.Errorf("%d and %d places are left", len(room.long), len(room.places))
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
