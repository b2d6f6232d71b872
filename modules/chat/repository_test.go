package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

var epoch = time.Date(2026, 11, 23, 10, 0, 0, 123_000_000, time.UTC)

func newSession(userID int64, at time.Time) session {
	return session{ID: uid.New(at), UserID: userID, CreatedAt: at, UpdatedAt: at}
}

// begin returns an exchange in s that asks text.
func begin(s session, text string, at time.Time) exchangeStart {
	s.UpdatedAt = at
	part := message{SessionID: s.ID, UserID: s.UserID, CreatedAt: at}
	b := exchangeStart{Session: s, Title: deriveTitle(text), Question: part, Answer: part}
	b.Question.ID, b.Question.Role, b.Question.Status, b.Question.Content, b.Question.FinishedAt = uid.New(at), roleUser, statusCompleted, text, at
	b.Answer.ID, b.Answer.Role, b.Answer.Status = uid.New(at), roleAssistant, statusProcessing
	return b
}

func finished(b exchangeStart, content string, at time.Time) message {
	m := b.Answer
	m.Content, m.Status, m.Provider, m.Model, m.FinishReason = content, statusCompleted, "p", "m-1", "stop"
	m.Tokens, m.FinishedAt = tokens{Input: 10, Output: 5}, at
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func allMessages(t testing.TB, r repository, s session) []message {
	t.Helper()
	list, err := r.ListMessages(t.Context(), s.UserID, s.ID, messagePart{Limit: 1000})
	must(t, err)
	return list
}

func TestASessionIsReadAsItWasWritten(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		zone := time.FixedZone("east", 5*3600)
		cases := map[string]session{
			"zero values": newSession(1, epoch),
			"everything": {ID: uid.New(epoch), UserID: 1, Title: `100% "quoted" _ 'x' \ 🦊`, System: "line\nline", Model: "a/b",
				CreatedAt: epoch, UpdatedAt: epoch.Add(time.Hour)},
		}
		for name, want := range cases {
			t.Run(name, func(t *testing.T) {
				must(t, r.CreateSession(t.Context(), want))
				got, err := r.FindSession(t.Context(), 1, want.ID)
				must(t, err)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatal(diff)
				}
			})
		}
		t.Run("a time of another zone is the same moment", func(t *testing.T) {
			s := newSession(1, epoch.In(zone))
			must(t, r.CreateSession(t.Context(), s))
			got, err := r.FindSession(t.Context(), 1, s.ID)
			must(t, err)
			if !got.CreatedAt.Equal(epoch) || got.CreatedAt.Location() != time.UTC {
				t.Fatalf("got %v", got.CreatedAt)
			}
		})
		t.Run("a second one with the id is refused", func(t *testing.T) {
			s := newSession(1, epoch)
			must(t, r.CreateSession(t.Context(), s))
			wantFault(t, r.CreateSession(t.Context(), s), fault.Conflict, "already_exists")
			b := begin(s, "x", epoch)
			b.New = true
			wantFault(t, r.BeginExchange(t.Context(), b), fault.Conflict, "already_exists")
		})
	})
}

func TestWhatIsNotTheUsersOwnIsNotFound(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		own := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), own))
		b := begin(own, "secret", epoch)
		must(t, r.BeginExchange(t.Context(), b))
		for name, s := range map[string]session{
			"another user's":      {ID: own.ID, UserID: 2, UpdatedAt: epoch},
			"an unknown one":      {ID: uid.New(epoch), UserID: 1, UpdatedAt: epoch},
			"an upper-case id":    {ID: "0199ABCD-" + own.ID[9:], UserID: 1, UpdatedAt: epoch},
			"an empty id":         {ID: "", UserID: 1, UpdatedAt: epoch},
			"a wildcard as an id": {ID: "%", UserID: 1, UpdatedAt: epoch},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := r.FindSession(t.Context(), s.UserID, s.ID)
				wantFault(t, err, fault.NotFound, "not_found")
				wantFault(t, r.RenameSession(t.Context(), sessionTitle{s.UserID, s.ID, "x", epoch}), fault.NotFound, "not_found")
				wantFault(t, r.DeleteSession(t.Context(), s.UserID, s.ID), fault.NotFound, "not_found")
				wantFault(t, r.BeginExchange(t.Context(), begin(s, "x", epoch)), fault.NotFound, "not_found")
				stranger := finished(b, "x", epoch)
				stranger.SessionID, stranger.UserID = s.ID, s.UserID
				wantFault(t, r.FinishAnswer(t.Context(), stranger), fault.NotFound, "not_found")
				list, err := r.ListMessages(t.Context(), s.UserID, s.ID, messagePart{Limit: 10})
				if err != nil || list == nil || len(list) != 0 {
					t.Fatalf("%v, %v", list, err)
				}
			})
		}
		if got, err := r.FindSession(t.Context(), 1, own.ID); err != nil || got.Title != "secret" || got.MessageCount != 2 {
			t.Fatalf("the session has changed: %+v, %v", got, err)
		}
	})
}

func TestSessionsAreListedTheLastChangedFirstInATotalOrder(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		empty, total, err := r.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
		if err != nil || empty == nil || len(empty) != 0 || total != 0 {
			t.Fatalf("%v, %d, %v", empty, total, err)
		}
		const count = 23
		for i := range count {
			s := newSession(1, epoch.Add(time.Duration(i/5)*time.Millisecond)) // five share a time
			must(t, r.CreateSession(t.Context(), s))
			must(t, r.CreateSession(t.Context(), newSession(2, epoch)))
		}
		seen := map[string]bool{}
		var before session
		for number := 1; number <= 4; number++ {
			list, total, err := r.ListSessions(t.Context(), 1, web.Page{Number: number, Size: 7})
			if err != nil || total != count {
				t.Fatalf("%d, %v", total, err)
			}
			for _, s := range list {
				later := s.UpdatedAt.After(before.UpdatedAt) || s.UpdatedAt.Equal(before.UpdatedAt) && s.ID > before.ID
				if seen[s.ID] || s.UserID != 1 || before.ID != "" && later {
					t.Fatalf("page %d: %+v after %+v", number, s, before)
				}
				seen[s.ID], before = true, s
			}
		}
		if len(seen) != count {
			t.Fatalf("%d of %d were listed", len(seen), count)
		}
	})
}

func TestARenamedSessionKeepsItsNameAndComesFirst(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		old, young := newSession(1, epoch), newSession(1, epoch.Add(time.Minute))
		must(t, r.CreateSession(t.Context(), old))
		must(t, r.CreateSession(t.Context(), young))
		must(t, r.RenameSession(t.Context(), sessionTitle{1, old.ID, "Mine", epoch.Add(time.Hour)}))
		must(t, r.BeginExchange(t.Context(), begin(old, "not a title any more", epoch.Add(2*time.Hour))))
		list, _, err := r.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
		must(t, err)
		if list[0].ID != old.ID || list[0].Title != "Mine" || !list[0].UpdatedAt.Equal(epoch.Add(2*time.Hour)) {
			t.Fatalf("%+v", list[0])
		}
	})
}

func TestAnExchangeIsBegunAndFinishedOnce(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		b := begin(s, `100% _"'\ 🦊`, epoch)
		b.New = true
		must(t, r.BeginExchange(t.Context(), b))
		open, err := r.FindSession(t.Context(), 1, s.ID)
		must(t, err)
		if open.MessageCount != 2 || open.Title != b.Question.Content || open.Tokens != (tokens{}) {
			t.Fatalf("%+v", open)
		}
		system, model := "be brief", "m-2"
		second := begin(s, "second", epoch.Add(time.Second))
		second.System, second.Model = &system, &model
		must(t, r.BeginExchange(t.Context(), second))
		answer := finished(b, "fine 漢", epoch.Add(time.Minute))
		answer.Tokens.Estimated = true
		must(t, r.FinishAnswer(t.Context(), answer))

		b.Question.Position, answer.Position, second.Question.Position, second.Answer.Position = 1, 2, 3, 4
		want := []message{second.Answer, second.Question, answer, b.Question}
		if diff := cmp.Diff(want, allMessages(t, r, s)); diff != "" {
			t.Fatal(diff)
		}
		wantSession := session{ID: s.ID, UserID: 1, Title: b.Question.Content, System: system, Model: model, LastModel: "m-1", MessageCount: 4,
			Tokens: tokens{Input: 10, Output: 5, Estimated: true}, CreatedAt: epoch, UpdatedAt: epoch.Add(time.Minute)}
		got, err := r.FindSession(t.Context(), 1, s.ID)
		must(t, err)
		if diff := cmp.Diff(wantSession, got); diff != "" {
			t.Fatal(diff)
		}
		wantFault(t, r.FinishAnswer(t.Context(), answer), fault.Conflict, "already_finished")
		again, err := r.FindSession(t.Context(), 1, s.ID)
		must(t, err)
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("a refused outcome has changed the session: %s", diff)
		}
		part, err := r.ListMessages(t.Context(), 1, s.ID, messagePart{Before: 4, Offset: 1, Limit: 1})
		if err != nil || len(part) != 1 || part[0].Position != 2 {
			t.Fatalf("%+v, %v", part, err)
		}
	})
}

func TestADuplicateMessageLeavesNoTraceOfItsExchange(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), s))
		first := begin(s, "one", epoch)
		must(t, r.BeginExchange(t.Context(), first))
		second := begin(s, "two", epoch)
		second.Answer.ID = first.Answer.ID
		wantFault(t, r.BeginExchange(t.Context(), second), fault.Conflict, "already_exists")
		got, err := r.FindSession(t.Context(), 1, s.ID)
		if err != nil || got.MessageCount != 2 || len(allMessages(t, r, s)) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestFiftyExchangesAtOnceLoseNothing(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), s))
		const count = 50
		errs := make([]error, count)
		var wait sync.WaitGroup
		for i := range count {
			wait.Go(func() {
				b := begin(s, fmt.Sprintf("question %d", i), epoch)
				if errs[i] = r.BeginExchange(t.Context(), b); errs[i] == nil {
					errs[i] = r.FinishAnswer(t.Context(), finished(b, fmt.Sprintf("answer %d", i), epoch))
				}
			})
		}
		wait.Wait()
		must(t, errors.Join(errs...))
		got, err := r.FindSession(t.Context(), 1, s.ID)
		if err != nil || got.MessageCount != 2*count || got.Tokens != (tokens{Input: 10 * count, Output: 5 * count}) {
			t.Fatalf("%+v, %v", got, err)
		}
		list := allMessages(t, r, s)
		if pairs := exchanges(list); len(list) != 2*count || len(pairs) != count {
			t.Fatalf("%d messages in %d pairs", len(list), len(pairs))
		}
		for i, m := range list {
			if m.Position != int64(2*count-i) {
				t.Fatalf("position %d at place %d", m.Position, i)
			}
		}
		for _, pair := range exchanges(list) {
			var asked, answered int
			_, _ = fmt.Sscanf(pair.question.Content, "question %d", &asked)
			_, _ = fmt.Sscanf(pair.answer.Content, "answer %d", &answered)
			if asked != answered {
				t.Fatalf("%q answers %q", pair.answer.Content, pair.question.Content)
			}
		}
	})
}

func TestOneOfManyOutcomesWins(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), s))
		b := begin(s, "x", epoch)
		must(t, r.BeginExchange(t.Context(), b))
		errs := make([]error, 20)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { errs[i] = r.FinishAnswer(t.Context(), finished(b, fmt.Sprint(i), epoch)) })
		}
		wait.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wantFault(t, err, fault.Conflict, "already_finished")
			}
		}
		got, err := r.FindSession(t.Context(), 1, s.ID)
		if err != nil || won != 1 || got.Tokens.Input != 10 {
			t.Fatalf("%d won, %+v, %v", won, got, err)
		}
	})
}

func TestUnfinishedAnswersAreFailedAndMayStillTakeTheirTrueOutcome(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), s))
		done, open, other := begin(s, "done", epoch), begin(s, "open", epoch), begin(s, "other", epoch)
		for _, b := range []exchangeStart{done, open, other} {
			must(t, r.BeginExchange(t.Context(), b))
		}
		must(t, r.FinishAnswer(t.Context(), finished(done, "fine", epoch)))
		at := epoch.Add(time.Hour)
		for _, want := range []int{2, 0} {
			if n, err := r.FailUnfinished(t.Context(), at, everyAnswer); err != nil || n != want {
				t.Fatalf("%d, %v", n, err)
			}
		}
		list := allMessages(t, r, s)
		for i, want := range []string{statusFailed, statusCompleted, statusFailed, statusCompleted, statusCompleted, statusCompleted} {
			if list[i].Status != want {
				t.Fatalf("message %d is %s", i, list[i].Status)
			}
		}
		if list[0].ErrorCode != codeInterrupted || list[0].ErrorDetail == "" || !list[0].FinishedAt.Equal(at) {
			t.Fatalf("%+v", list[0])
		}
		must(t, r.FinishAnswer(t.Context(), finished(open, "late", at)))
		if late := allMessages(t, r, s)[2]; late.Status != statusCompleted || late.Content != "late" || late.ErrorCode != "" {
			t.Fatalf("%+v", late)
		}
	})
}

// everyAnswer chooses all that are unfinished.
func everyAnswer(_ context.Context, list []unfinished) ([]string, error) {
	ids := []string{}
	for _, answer := range list {
		ids = append(ids, answer.ID)
	}
	return ids, nil
}

func TestOnlyTheChosenUnfinishedAnswersFail(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		must(t, r.CreateSession(t.Context(), s))
		for i := range unfinishedBatch + 20 {
			b := begin(s, "x", epoch.Add(time.Duration(i)*time.Millisecond))
			b.Answer.Instance = []string{"one", "two"}[i%2]
			must(t, r.BeginExchange(t.Context(), b))
		}
		seen := 0
		failed, err := r.FailUnfinished(t.Context(), epoch.Add(time.Hour), func(_ context.Context, list []unfinished) ([]string, error) {
			ids := []string{}
			for _, answer := range list {
				if seen++; answer.CreatedAt.Before(epoch) {
					t.Errorf("%+v", answer)
				}
				if answer.Instance == "two" {
					ids = append(ids, answer.ID)
				}
			}
			return ids, nil
		})
		if err != nil || failed != unfinishedBatch/2+10 || seen != unfinishedBatch+20 {
			t.Fatalf("%d failed of %d, %v", failed, seen, err)
		}
		for _, m := range allMessages(t, r, s) {
			want := map[string]string{"": statusCompleted, "one": statusProcessing, "two": statusFailed}[m.Instance]
			if m.Status != want {
				t.Fatalf("%s of %q is %s", m.ID, m.Instance, m.Status)
			}
		}
		boom := errors.New("boom")
		_, err = r.FailUnfinished(t.Context(), epoch, func(context.Context, []unfinished) ([]string, error) { return nil, boom })
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnfinishedAnswersAreFoundByTheirIndex(t *testing.T) {
	db := testkit.SQLite(t)
	var plan []struct{ Detail string }
	must(t, db.Read(t.Context()).Raw("EXPLAIN QUERY PLAN UPDATE chat_messages SET status = '' WHERE "+isUnfinished).Scan(&plan).Error)
	if len(plan) != 1 || !strings.Contains(plan[0].Detail, "chat_messages_unfinished") {
		t.Fatalf("%+v", plan)
	}
}

func TestADeletedSessionTakesItsMessagesAlong(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		gone, kept := newSession(1, epoch), newSession(1, epoch)
		for _, s := range []session{gone, kept} {
			b := begin(s, "x", epoch)
			b.New = true
			must(t, r.BeginExchange(t.Context(), b))
		}
		must(t, r.DeleteSession(t.Context(), 1, gone.ID))
		wantFault(t, r.DeleteSession(t.Context(), 1, gone.ID), fault.NotFound, "not_found")
		if len(allMessages(t, r, gone)) != 0 || len(allMessages(t, r, kept)) != 2 {
			t.Fatal("wrong messages are gone")
		}
	})
}

func TestAContextThatEndedWritesNothing(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		b := begin(s, "x", epoch)
		b.New = true
		must(t, r.BeginExchange(t.Context(), b))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		acts := map[string]func() error{
			"CreateSession":  func() error { return r.CreateSession(ended, newSession(1, epoch)) },
			"RenameSession":  func() error { return r.RenameSession(ended, sessionTitle{1, s.ID, "new", epoch}) },
			"DeleteSession":  func() error { return r.DeleteSession(ended, 1, s.ID) },
			"BeginExchange":  func() error { return r.BeginExchange(ended, begin(s, "y", epoch)) },
			"FinishAnswer":   func() error { return r.FinishAnswer(ended, finished(b, "y", epoch)) },
			"FailUnfinished": func() error { _, err := r.FailUnfinished(ended, epoch, everyAnswer); return err },
		}
		for name, act := range acts {
			t.Run(name, func(t *testing.T) {
				if err := act(); !errors.Is(err, context.Canceled) {
					t.Fatalf("got %v", err)
				}
			})
		}
		list, total, err := r.ListSessions(t.Context(), 1, web.Page{Number: 1, Size: 10})
		messages := allMessages(t, r, s)
		if err != nil || total != 1 || list[0].Title != "x" || len(messages) != 2 || messages[0].Status != statusProcessing {
			t.Fatalf("%+v, %+v, %v", list, messages, err)
		}
	})
}

func TestAnAnswerIsFoundByItsThread(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		find := func(userID int64, thread string) string {
			id, err := r.FindThread(t.Context(), userID, thread)
			must(t, err)
			return id
		}
		at := epoch
		ended := func(userID int64, thread string) session {
			at = at.Add(time.Second)
			s := newSession(userID, at)
			b := begin(s, "hi", at)
			b.New, b.Question.Extra = true, `{"seed":1,"text":"\u0000"}`
			must(t, r.BeginExchange(t.Context(), b))
			answer := finished(b, "there", epoch)
			answer.Extra, answer.Thread = `{"tool_calls":[]}`, thread
			must(t, r.FinishAnswer(t.Context(), answer))
			kept := allMessages(t, r, s)
			if kept[0].Extra != answer.Extra || kept[0].Thread != thread || kept[1].Extra != b.Question.Extra {
				t.Errorf("kept %+v", kept)
			}
			return s
		}
		ended(1, "a")
		newer, foreign := ended(1, "a"), ended(2, "b")
		ended(1, "")
		if got := find(1, "a"); got != newer.ID {
			t.Errorf("%q is not the session of the newest answer", got)
		}
		if find(1, "b") != "" || find(2, "b") != foreign.ID || find(1, "c") != "" || find(1, "") != "" {
			t.Error("another thread was found")
		}
		must(t, r.DeleteSession(t.Context(), 2, foreign.ID))
		if find(2, "b") != "" {
			t.Error("a deleted session was found")
		}
	})
}
