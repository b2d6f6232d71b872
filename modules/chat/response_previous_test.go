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
	_, branch := f.next(t, first, `[{"type":"function_call_output","call_id":"c1","output":"no"}]`)
	if of, err := f.module.service.repository.FindSession(t.Context(), 1, branch); err != nil || branch == session || of.Title != "how warm?" {
		t.Errorf("a branch is in %+v, %v", of, err)
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
		"unknown": "resp_" + f.module.service.newID(f.clock.Now()), "no id": "resp_1", "empty": "resp_", "deleted": gone, "failed": list[3].ID, "a question": list[0].ID, "upper case": responsePrefix + strings.ToUpper(answerID(first)),
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

func TestOfTwoThatGoOnFromOneAtOnceTheSecondBeginsASession(t *testing.T) {
	var f *fixture
	var first, other string
	f, _ = behind(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		if first != "" && other == "" { // while the one is answered
			other = "asked"
			_, other = f.next(t, first, `"or else"`)
		}
		answeringInTurn(spoke("one"))(w, r)
	})
	id, session := f.next(t, "", `"hi"`)
	first = id
	if _, same := f.next(t, id, `"more"`); same != session || other == session || other == "asked" {
		t.Errorf("of %s: %s and %s", session, same, other)
	}
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
