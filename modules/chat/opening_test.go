package chat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
	"llmhist/platform/usage"
)

// watched is a repository whose acts of an exchange a test sees, and can let fail.
type watched struct {
	repository
	mu      sync.Mutex
	acts    []string
	failing error
	apart   bool // it does not take an exchange whole
}

func (w *watched) TakesWhole() bool { return !w.apart }

func (w *watched) act(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, name)
	return w.failing
}

func (w *watched) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acts)
}

func (w *watched) BeginExchange(ctx context.Context, begin exchangeStart) error {
	if err := w.act("begin " + begin.Answer.Status); err != nil {
		return err
	}
	return w.repository.BeginExchange(ctx, begin)
}

func (w *watched) FinishAnswer(ctx context.Context, answer message) error {
	if err := w.act("finish " + answer.Status); err != nil {
		return err
	}
	return w.repository.FinishAnswer(ctx, answer)
}

func serveWatched(t *testing.T, provider *scripted) (*fixture, *watched) {
	f := serve(t, Config{}, provider)
	w := &watched{repository: f.module.service.repository}
	f.module.service.repository = w
	return f, w
}

// underWay returns the sessions of what is not stored yet.
func (f *fixture) underWay() (sessions []string) {
	of := &f.module.service.openings
	of.mu.Lock()
	defer of.mu.Unlock()
	for o := range of.list {
		sessions = append(sessions, o.sessionID)
	}
	return sessions
}

// slow answers when its request has been stored.
func slow(f **fixture) *scripted {
	return &scripted{name: "one", models: []string{"m"}, answer: func(ctx context.Context, _ Request, emit func(string) error) (Result, error) {
		for len((*f).module.service.repository.(*watched).seen()) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return Result{FinishReason: "stop"}, errors.Join(ctx.Err(), emit("late"))
	}}
}

func TestAnAnswerThatComesAtOnceIsStoredWithItsQuestion(t *testing.T) {
	f, w := serveWatched(t, echoing("one", "m"))
	f.say(t, alice, map[string]any{"message": "hi"})
	if diff := cmp.Diff([]string{"begin completed"}, w.seen()); diff != "" {
		t.Error(diff)
	}
}

func TestAQuestionIsStoredWhileItsAnswerIsMade(t *testing.T) {
	var f *fixture
	f, w := serveWatched(t, slow(&f))
	f.say(t, alice, map[string]any{"message": "hi"})
	if diff := cmp.Diff([]string{"begin processing", "finish completed"}, w.seen()); diff != "" {
		t.Error(diff)
	}
}

func TestAQuestionIsStoredBeforeItIsAskedWhereThatIsNoGain(t *testing.T) {
	for name, asked := range map[string]struct {
		apart  bool
		stream bool
	}{
		"a store in trouble": {apart: true}, "a stream that begins by naming its session": {stream: true},
	} {
		t.Run(name, func(t *testing.T) {
			var w *watched
			f, w := serveWatched(t, &scripted{name: "one", models: []string{"m"}, answer: func(_ context.Context, _ Request, emit func(string) error) (Result, error) {
				_ = w.act("ask")
				return Result{FinishReason: "stop"}, emit("fine")
			}})
			w.apart = asked.apart
			if got := f.Do("POST", "/chat", alice, map[string]any{"message": "hi", "stream": asked.stream}); got.Status != 200 {
				t.Fatalf("%d: %s", got.Status, got.Body)
			}
			if diff := cmp.Diff([]string{"begin processing", "ask", "finish completed"}, w.seen()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAProviderIsStoppedWhenItsQuestionCannotBeStored(t *testing.T) {
	stopped := make(chan struct{})
	f, w := serveWatched(t, &scripted{name: "one", models: []string{"m"}, answer: func(ctx context.Context, _ Request, _ func(string) error) (Result, error) {
		<-ctx.Done()
		close(stopped)
		return Result{}, ctx.Err()
	}})
	w.failing = fault.New(fault.OutOfSpace, "storage_full", "The disk is full.")
	got := f.Do("POST", "/chat", alice, `{"message":"hi"}`)
	within(t, "the provider is stopped", stopped)
	if got.Status != 507 || member(got.JSON(t), "code") != "storage_full" {
		t.Errorf("%d: %s", got.Status, got.Body)
	}
	if diff := cmp.Diff([]string{"begin processing"}, w.seen()); diff != "" {
		t.Error(diff)
	}
}

func TestAProvidersFaultDoesNotHideTheStores(t *testing.T) {
	f, w := serveWatched(t, failing("one", errOverload))
	w.failing = fault.New(fault.OutOfSpace, "storage_full", "The disk is full.")
	ctx, record := usage.Begin(identity.With(t.Context(), identity.Identity{UserID: 1}))
	_, err := f.module.service.sendMessage(ctx, f.place(t), ask{Message: "hello"}, nil)
	if known := wantFault(t, err, fault.OutOfSpace, "storage_full"); len(known.Extra) != 0 || record.Figures().ObjectID != "" {
		t.Errorf("it names what is not there: %v, %q", known.Extra, record.Figures().ObjectID)
	}
}

func TestASessionUnderWayCanBeGoneOnWith(t *testing.T) {
	var f *fixture
	second := 0
	f, _ = serveWatched(t, &scripted{name: "one", models: []string{"m"}, answer: func(_ context.Context, request Request, emit func(string) error) (Result, error) {
		if last := request.Messages[len(request.Messages)-1].Content; last == "hi" {
			for _, own := range f.underWay() {
				second = f.Do("POST", "/chat", alice, map[string]any{"message": "and", "session_id": own, "model": "m"}).Status
			}
		}
		return Result{FinishReason: "stop"}, emit("fine")
	}})
	f.say(t, alice, map[string]any{"message": "hi"})
	if second != 200 || f.onlySession(t, 1).MessageCount != 4 {
		t.Errorf("status %d, %d messages", second, f.onlySession(t, 1).MessageCount)
	}
}

func TestAnAnswerThatCannotBeStoredIsNotGiven(t *testing.T) {
	f, w := serveWatched(t, echoing("one", "m"))
	w.failing = fault.New(fault.Unavailable, "database_unavailable", "The database is down.")
	if got := f.Do("POST", "/chat", alice, `{"message":"hi"}`); got.Status != 503 || member(got.JSON(t), "code") != "database_unavailable" {
		t.Errorf("%d: %s", got.Status, got.Body)
	}
}

// What a user asks for is true also in the moment in which a question is under way.
func TestAQuestionUnderWayIsSeenByItsOwner(t *testing.T) {
	var f *fixture
	var total string
	f, w := serveWatched(t, &scripted{name: "one", models: []string{"m"}, answer: func(_ context.Context, _ Request, emit func(string) error) (Result, error) {
		total = member(f.Do("GET", "/chat/sessions", alice, nil).JSON(t), "total")
		return Result{FinishReason: "stop"}, emit("fine")
	}})
	f.module.service.openings.settleUser(t.Context(), 1, settleSoon) // there are none
	f.say(t, alice, map[string]any{"message": "hi"})
	if total != "1" {
		t.Errorf("%s sessions", total)
	}
	if diff := cmp.Diff([]string{"begin processing", "finish completed"}, w.seen()); diff != "" {
		t.Error(diff)
	}
	if left := f.underWay(); len(left) != 0 {
		t.Errorf("%d are still remembered", len(left))
	}
}

func TestAQuestionWhoseAnswerWasNotConcludedIsStored(t *testing.T) {
	f, w := serveWatched(t, &scripted{name: "one", models: []string{"m"}, answer: func(context.Context, Request, func(string) error) (Result, error) {
		panic("a bug")
	}})
	if got := f.Do("POST", "/chat", alice, `{"message":"hi"}`); got.Status != 500 {
		t.Errorf("%d: %s", got.Status, got.Body)
	}
	if diff := cmp.Diff([]string{"begin processing"}, w.seen()); diff != "" {
		t.Error(diff)
	}
	failed, err := f.module.Reconcile(t.Context())
	if err != nil || failed != 1 {
		t.Errorf("%d were declared interrupted, %v", failed, err)
	}
}

func TestAnExchangeStoredWholeIsLikeOneThatWasFinished(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		later := epoch.Add(time.Second)
		outcomes := map[string]func(m *message){
			"completed": func(m *message) { m.Extra, m.Thread = `{"tool_calls":[]}`, "a" },
			"estimated": func(m *message) { m.Tokens.Estimated = true },
			"failed": func(m *message) {
				m.Content, m.Status, m.FinishReason, m.ErrorCode, m.ErrorDetail = "", statusFailed, "", "timeout", "Too late."
			},
			"cancelled": func(m *message) { m.Status, m.ErrorCode = statusCancelled, "cancelled" },
		}
		model, system := "m-9", "Be brief."
		for name, change := range outcomes {
			for _, isNew := range []bool{true, false} {
				kept := map[bool][]message{}
				sessions := map[bool]session{}
				for _, whole := range []bool{true, false} {
					s := newSession(1, epoch)
					if !isNew {
						must(t, r.CreateSession(t.Context(), s))
					}
					b := begin(s, "what?", epoch)
					b.New, b.Model, b.System = isNew, &model, &system
					outcome := finished(b, "so", later)
					change(&outcome)
					if whole {
						b.Answer = outcome
						must(t, r.BeginExchange(t.Context(), b))
						wantFault(t, r.FinishAnswer(t.Context(), outcome), fault.Conflict, "already_finished")
					} else {
						must(t, r.BeginExchange(t.Context(), b))
						must(t, r.FinishAnswer(t.Context(), outcome))
					}
					kept[whole] = allMessages(t, r, s)
					found, err := r.FindSession(t.Context(), 1, s.ID)
					must(t, err)
					found.ID = ""
					sessions[whole] = found
					for i := range kept[whole] {
						kept[whole][i].ID, kept[whole][i].SessionID = "", ""
					}
				}
				if diff := cmp.Diff(kept[false], kept[true]) + cmp.Diff(sessions[false], sessions[true]); diff != "" || len(kept[true]) != 2 {
					t.Errorf("%s, new %v: %d messages %s", name, isNew, len(kept[true]), diff)
				}
			}
		}
		gone := begin(newSession(1, epoch), "what?", epoch)
		gone.Answer = finished(gone, "so", later)
		wantFault(t, r.BeginExchange(t.Context(), gone), fault.NotFound, "not_found")
		if _, err := r.FindAnswer(t.Context(), 1, uid.New(epoch)); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
	})
}
