package chat

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"llmhist/platform/fault"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

func TestAnAnswerIsFoundByItsIDForItsOwnerAlone(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		open, done := begin(s, `100% _"'\ 🦊`, epoch), begin(s, "second", epoch)
		open.New = true
		must(t, r.BeginExchange(t.Context(), open))
		must(t, r.BeginExchange(t.Context(), done))
		want := finished(done, "fine 漢", epoch)
		want.Extra, want.Thread = `{"tool_calls":[]}`, "a"
		must(t, r.FinishAnswer(t.Context(), want))
		want.Position, open.Answer.Position = 4, 2
		for _, m := range []message{want, open.Answer} {
			got, err := r.FindAnswer(t.Context(), 1, m.ID)
			must(t, err)
			if diff := cmp.Diff(m, got); diff != "" {
				t.Error(diff)
			}
		}
		find := func(userID int64, id string) error {
			_, err := r.FindAnswer(t.Context(), userID, id)
			return err
		}
		for name, err := range map[string]error{
			"another user's": find(2, want.ID), "a question": find(1, done.Question.ID), "an unknown one": find(1, uid.New(epoch)),
			"in upper case": find(1, strings.ToUpper(want.ID)), "an empty id": find(1, ""), "a wildcard": find(1, "%"), "a session": find(1, s.ID),
		} {
			t.Run(name, func(t *testing.T) { wantFault(t, err, fault.NotFound, "not_found") })
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.FindAnswer(ended, 1, want.ID); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		must(t, r.DeleteSession(t.Context(), 1, s.ID))
		wantFault(t, find(1, want.ID), fault.NotFound, "not_found")
	})
}

func TestAnAnswerIsFoundByItsKey(t *testing.T) {
	db := testkit.SQLite(t)
	var plan []struct{ Detail string }
	must(t, db.Read(t.Context()).Raw("EXPLAIN QUERY PLAN SELECT * FROM chat_messages WHERE "+ownAnswer, "x", 1).Scan(&plan).Error)
	if len(plan) != 1 || !strings.Contains(plan[0].Detail, "(id=?)") {
		t.Fatalf("%+v", plan)
	}
}
