package chat

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/check"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

// accounts are users 1 to 3 and the erased 4.
type accounts struct{}

func (accounts) FindAccounts(_ context.Context, ids []int64) (check.Accounting, error) {
	found := check.Accounting{Known: map[int64]check.Account{}, LastID: 4}
	for _, id := range ids {
		if id <= 3 {
			found.Known[id] = check.Account{}
		}
	}
	return found, nil
}

// checkChats compares and returns what is found, by code.
func checkChats(t *testing.T, r repository, options check.Options) map[string]check.Count {
	t.Helper()
	deps := Deps{}
	switch engine := r.(type) {
	case gormRepository:
		deps.DB = engine.db
	case mongoRepository:
		deps.Documents = engine.db
	}
	options.Now = func() time.Time { return epoch.Add(time.Hour) }
	report := check.NewReport(options)
	must(t, Check(t.Context(), deps, report, accounts{}))
	return report.Counts()
}

func TestChatsThatAreWholeHaveNoFinding(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := newSession(1, epoch)
		first := begin(s, "hello", epoch)
		first.New = true
		must(t, r.BeginExchange(t.Context(), first))
		must(t, r.FinishAnswer(t.Context(), finished(first, "hi", epoch.Add(time.Second))))
		must(t, r.BeginExchange(t.Context(), begin(s, "again", epoch.Add(59*time.Minute)))) // it is being answered
		must(t, r.CreateSession(t.Context(), newSession(2, epoch)))
		if found := checkChats(t, r, check.Options{Grace: 10 * time.Minute}); len(found) != 0 {
			t.Errorf("%v", found)
		}
	})
}

func TestChatsThatHangAreFoundAndSettled(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		open := begin(newSession(1, epoch), "hello", epoch)
		open.New = true
		must(t, r.BeginExchange(t.Context(), open))
		gone := begin(newSession(4, epoch), "hello", epoch)
		gone.New = true
		must(t, r.BeginExchange(t.Context(), gone))
		must(t, r.FinishAnswer(t.Context(), finished(gone, "hi", epoch.Add(time.Second))))
		lost := begin(newSession(9, epoch), "hello", epoch)
		lost.New = true
		must(t, r.BeginExchange(t.Context(), lost))
		must(t, r.FinishAnswer(t.Context(), finished(lost, "hi", epoch.Add(time.Second))))

		want := map[string]check.Count{"answer_unfinished": {Found: 1}, "sessions_without_account": {Found: 1}, "account_unknown": {Found: 1}}
		if diff := cmp.Diff(want, checkChats(t, r, check.Options{})); diff != "" {
			t.Error(diff)
		}
		checkChats(t, r, check.Options{Repair: true})
		if diff := cmp.Diff(map[string]check.Count{"account_unknown": {Found: 1}}, checkChats(t, r, check.Options{})); diff != "" {
			t.Errorf("after the repair: %s", diff)
		}
		if kept := allMessages(t, r, lost.Session); len(kept) != 2 {
			t.Errorf("of an unknown account %d messages are left", len(kept))
		}
		if messages := allMessages(t, r, open.Session); messages[0].ErrorCode != codeInterrupted {
			t.Errorf("the answer is %+v", messages[0])
		}
	})
}

func TestGapsThatDocumentsLeaveAreNoDamage(t *testing.T) {
	eachRepository(t, func(t *testing.T, r repository) {
		s := sessionWithGaps(t, r, 0, 1, 0, 2, 1)
		if found := checkChats(t, r, check.Options{Grace: 2 * time.Hour}); len(found) != 0 {
			t.Errorf("%v", found)
		}
		sql, ok := r.(gormRepository)
		if !ok {
			return
		}
		_, err := sql.db.Handle().ExecContext(t.Context(), "DELETE FROM chat_messages WHERE session_id = '"+s.ID+"' AND position = 5")
		must(t, err)
		for range 2 { // the loss stays where the figures are repaired
			if found := checkChats(t, r, check.Options{Grace: 2 * time.Hour, Repair: true}); found["message_missing"].Found != 1 {
				t.Errorf("%v", found)
			}
		}
	})
}

func TestWhatACrashLeavesInDocumentsIsFoundAndRemoved(t *testing.T) {
	r := mongoStore(t, testkit.Mongo(t)).(mongoRepository)
	whole := begin(newSession(1, epoch), "hello", epoch)
	whole.New = true
	must(t, r.BeginExchange(t.Context(), whole))
	must(t, r.FinishAnswer(t.Context(), finished(whole, "hi", epoch.Add(time.Second))))
	// A session that never came, one that was lost, one whose deletion was
	// interrupted, and one that gives away positions that are taken.
	must(t, r.insert(t.Context(), r.exchanges(), newExchangeDocument(begin(newSession(1, epoch), "never came", epoch), 1)))
	lost := newExchangeDocument(begin(newSession(2, epoch), "lost", epoch), 1)
	lost.Status = statusCompleted
	must(t, r.insert(t.Context(), r.exchanges(), lost))
	hidden := newSessionDocument(newSession(1, epoch), 0)
	hidden.ID, hidden.Deleted = uid.New(epoch), true
	must(t, r.insert(t.Context(), r.sessions(), hidden))
	if _, err := r.update(t.Context(), r.sessions(), bson.M{"_id": whole.Session.ID}, bson.M{"last_position": int64(0)}); err != nil {
		t.Fatal(err)
	}

	want := map[string]check.Count{"message_without_session": {Found: 2}, "deletion_unfinished": {Found: 1}, "session_differs": {Found: 1}}
	if diff := cmp.Diff(want, checkChats(t, r, check.Options{})); diff != "" {
		t.Error(diff)
	}
	checkChats(t, r, check.Options{Repair: true})
	if diff := cmp.Diff(map[string]check.Count{"message_without_session": {Found: 1}}, checkChats(t, r, check.Options{})); diff != "" {
		t.Errorf("after the repair: %s", diff)
	}
	must(t, r.BeginExchange(t.Context(), begin(whole.Session, "goes on", epoch)))
}
