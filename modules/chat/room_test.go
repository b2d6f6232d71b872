package chat

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

func TestMoreAnswersThanThereIsMemoryForAreRefused(t *testing.T) {
	begun, goOn := make(chan struct{}, fewestPlaces), make(chan struct{})
	f, _ := behind(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-goOn
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}`)
	})
	f.module.service.room = newRoom(1)
	const question = `{"model":"demo-1","messages":[{"role":"user","content":"hi"}]}`
	statuses := make(chan int, fewestPlaces)
	for range fewestPlaces {
		go func() { statuses <- f.post(t, t.Context(), question).StatusCode }()
	}
	for range fewestPlaces {
		within(t, "an answer is under way", begun)
	}
	for _, body := range []string{question, strings.Replace(question, "{", `{"stream":true,`, 1)} {
		refused := f.post(t, t.Context(), body)
		said, _ := io.ReadAll(refused.Body)
		if refused.StatusCode != 503 || refused.Header.Get("Retry-After") == "" || !strings.Contains(string(said), "overloaded") {
			t.Errorf("%d %v %s", refused.StatusCode, refused.Header, said)
		}
	}
	close(goOn)
	for range fewestPlaces {
		if status := <-statuses; status != 200 {
			t.Errorf("one that was under way: %d", status)
		}
	}
	if after := f.post(t, t.Context(), question); after.StatusCode != 200 {
		t.Errorf("after them: %d", after.StatusCode)
	}
}

func TestALongAnswerWaitsInAFileAndIsKeptWhole(t *testing.T) {
	thoughts, text := strings.Repeat("hm, ", 50_000), strings.Repeat("and so on, ", 40_000)
	reasoning := func(part string) string {
		return `data: {"choices":[{"index":0,"delta":{"reasoning_content":"` + part + `"}}]}` + "\n\n"
	}
	var sent strings.Builder
	for part := range strings.SplitSeq(thoughts, " ") {
		sent.WriteString(reasoning(part + " "))
	}
	for part := range strings.SplitSeq(text, ",") {
		sent.WriteString(chunk(part + ","))
	}
	f, _ := behind(t, Config{}, replay(200, sseType, sent.String()+stopChunk+doneEvent))
	dir := t.TempDir()
	f.module.service.spoolDir = dir
	f.module.service.room.long = make(chan struct{}, 1)
	for _, stream := range []string{"true", "false"} {
		response := f.post(t, t.Context(), `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":`+stream+`}`)
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != 200 {
			t.Fatalf("%d, %v", response.StatusCode, err)
		}
		sessions, _, err := f.module.service.repository.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
		must(t, err)
		kept := f.stored(t, 1, sessions[0].ID)[1]
		if kept.Content != text+"," || !strings.Contains(kept.Extra, thoughts) || kept.Status != statusCompleted {
			t.Errorf("stream %s: %d bytes and %d besides kept, %s", stream, len(kept.Content), len(kept.Extra), kept.Status)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 || len(f.module.service.room.long) != 0 || f.module.service.room.taken.Load() != 0 {
		t.Errorf("left: %v, %d and %d places", left, len(f.module.service.room.long), f.module.service.room.taken.Load())
	}
}

func TestAnAnswerThatCannotBeKeptIsNoSuccess(t *testing.T) {
	long := strings.Repeat(chunk(strings.Repeat("x", 1000)), 100)
	for name, sent := range map[string]string{"whole": long + stopChunk + doneEvent, "cut": strings.Repeat(long, 2)} {
		f, _ := behind(t, Config{MaxAnswerBytes: 150_000}, replay(200, sseType, sent))
		f.module.service.room.long = make(chan struct{}) // there is never memory
		f.module.service.gatherTime = 10 * time.Millisecond
		for _, stream := range []string{"true", "false"} {
			response := f.post(t, t.Context(), `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":`+stream+`}`)
			said, err := io.ReadAll(response.Body)
			must(t, err)
			if !strings.Contains(string(said), `"overloaded"`) || strings.Contains(string(said), "[DONE]") || stream == "false" && response.StatusCode != 503 {
				t.Errorf("%s, stream %s: %d …%s", name, stream, response.StatusCode, said[max(0, len(said)-200):])
			}
			sessions, _, err := f.module.service.repository.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
			must(t, err)
			if kept := f.stored(t, 1, sessions[0].ID)[1]; kept.Status != statusFailed || kept.ErrorCode != "overloaded" {
				t.Errorf("%s, stream %s: kept as %s %s", name, stream, kept.Status, kept.ErrorCode)
			}
		}
		began := time.Now()
		f.module.service.gatherTime = 300 * time.Millisecond
		answer, err := f.module.service.sendMessage(identity.With(t.Context(), identity.Identity{UserID: 1}), f.place(t), ask{Message: "hi", Stream: true}, nil)
		if !fault.Is(err, fault.Unavailable) || answer.Status != statusFailed || time.Since(began) > 550*time.Millisecond { // it waits once
			t.Errorf("%s, native: %s %v after %s", name, answer.Status, err, time.Since(began))
		}
	}
}

func TestWhatABottomlessProviderSaysIsNotKept(t *testing.T) {
	var sent strings.Builder
	for i := range maxChoices + 20 {
		fmt.Fprintf(&sent, `data: {"choices":[{"index":%d,"delta":{"content":"a","reasoning_content":%q}}]}`+"\n\n", i, strings.Repeat("r", 40<<10))
	}
	f, _ := behind(t, Config{MaxAnswerBytes: 16 << 20}, replay(200, sseType, sent.String()+stopChunk+doneEvent))
	dir := t.TempDir()
	f.module.service.spoolDir = dir
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which closes what nobody knows any more
	response := f.post(t, t.Context(), `{"model":"demo-1","messages":[{"role":"user","content":"hi"}],"stream":true}`)
	said, err := io.ReadAll(response.Body)
	must(t, err)
	if !strings.HasSuffix(string(said), doneEvent) {
		t.Fatalf("%d …%s", response.StatusCode, said[max(0, len(said)-200):])
	}
	kept := f.stored(t, 1, f.onlySession(t, 1).ID)[1]
	if further := strings.Count(kept.Extra, `"finish_reason"`); further != maxChoices-1 {
		t.Errorf("%d further choices kept", further)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell what is open")
	}
	for _, file := range open {
		if target, err := os.Readlink("/proc/self/fd/" + file.Name()); err == nil && strings.HasPrefix(target, dir) {
			t.Errorf("%s is still open", target)
		}
	}
}

func TestAProviderThatFailedKeepsNoMemoryFromOthers(t *testing.T) {
	broken := httptest.NewServer(replay(200, jsonType, `{"choices":"`+strings.Repeat("x", 2*longDocument)))
	t.Cleanup(broken.Close)
	var f *fixture
	var held atomic.Int64
	held.Store(-1)
	f, _ = behind(t, Config{
		Providers: []string{"broken", "fake"}, Upstreams: []Upstream{{Name: "broken", BaseURL: broken.URL, DefaultModel: "m"}},
	}, func(w http.ResponseWriter, r *http.Request) {
		held.Store(int64(len(f.module.service.room.long)))
		replay(200, sseType, chunk("Hi")+stopChunk+doneEvent)(w, r)
	})
	response := f.post(t, t.Context(), `{"messages":[{"role":"user","content":"hi"}],"stream":true}`)
	said, err := io.ReadAll(response.Body)
	must(t, err)
	if held.Load() != 0 || !strings.HasSuffix(string(said), doneEvent) {
		t.Errorf("%d held while the next one answered: %s", held.Load(), said)
	}
}

func TestWaitingForMemoryEnds(t *testing.T) {
	r := newRoom(1)
	enter := func() *place {
		at, err := r.enter(0)
		must(t, err)
		return at
	}
	for range fewestLong {
		at := enter()
		defer at.leave()
		must(t, at.hold(t.Context()))
		must(t, at.hold(t.Context())) // what it has it need not wait for
	}
	ended, end := context.WithCancel(t.Context())
	end()
	last := enter()
	if err := last.hold(ended); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	last.leave()
	if len(r.long) != fewestLong || r.taken.Load() != fewestLong {
		t.Errorf("%d and %d are held by %d", len(r.long), r.taken.Load(), fewestLong)
	}
}

func TestNoMoreAnswersAreUnderWayThanEver(t *testing.T) {
	r := newRoom(0)
	for range mostAnswers {
		_, err := r.enter(0)
		must(t, err)
	}
	if _, err := r.enter(0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("one more: %v", err)
	}
	(&place{room: r, size: 1}).leave()
	if _, err := r.enter(0); err != nil {
		t.Errorf("after one left: %v", err)
	}
	if long, err := newRoom(0).enter(maxCompletionBody); err != nil || long.size != 1+maxCompletionBody*requestCopies/placeBytes {
		t.Errorf("%+v, %v", long, err)
	}
}

func TestALongRequestTakesThePlacesOfSeveral(t *testing.T) {
	r := newRoom(64 << 20) // half of it is 256 places
	const long = 1 << 20   // 3 MiB with its copies: 25 places
	var inside []*place
	for {
		at, err := r.enter(long)
		if err != nil {
			break
		}
		inside = append(inside, at)
	}
	if len(inside) != 10 {
		t.Errorf("%d requests of 1 MiB are in 32 MiB", len(inside))
	}
	short, err := r.enter(100)
	must(t, err)
	short.leave()
	for _, at := range inside {
		at.leave()
	}
	few := newRoom(1)
	huge, err := few.enter(maxCompletionBody)
	must(t, err) // the longest request is never refused for its length
	beside, err := few.enter(100)
	must(t, err)
	huge.leave()
	beside.leave()
	if r.taken.Load() != 0 || few.taken.Load() != 0 {
		t.Errorf("%d and %d places stay taken", r.taken.Load(), few.taken.Load())
	}
}

func TestAPlaceGrowsWithItsRequest(t *testing.T) {
	r := newRoom(64 << 20) // half of it is 256 places
	at, err := r.enter(100)
	must(t, err)
	for _, step := range []struct {
		request int
		size    int64
	}{{200 << 10, 5}, {100, 5}, {1 << 20, 25}, {1 << 30, 128}} {
		must(t, at.grow(step.request))
		if at.size != step.size || r.taken.Load() != step.size {
			t.Errorf("%d bytes take %d places, %d are taken", step.request, at.size, r.taken.Load())
		}
	}
	beside, err := r.enter(1 << 30)
	must(t, err)
	if _, err := r.enter(100); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	beside.leave()
	var small []*place
	for range 128 {
		one, err := r.enter(100)
		must(t, err)
		small = append(small, one)
	}
	if err := small[0].grow(1 << 20); !fault.Is(err, fault.Unavailable) || small[0].size != 1 {
		t.Errorf("%d places, %v", small[0].size, err)
	}
	for _, one := range append(small, at) {
		one.leave()
	}
	if r.taken.Load() != 0 {
		t.Errorf("%d places stay taken", r.taken.Load())
	}
}
