package transfer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/modules/analytics"
	"llmhist/platform/database"
	"llmhist/platform/uid"
	"llmhist/transfer"
)

// TestWhatAnErasedAccountStoredLateKeepsNothingFromBeingMoved has rows of an
// account that was erased a moment ago, which the server would have erased in half
// an hour, and one event that a clock which is ahead has dated.
func TestWhatAnErasedAccountStoredLateKeepsNothingFromBeingMoved(t *testing.T) {
	const gone = 31
	from := embedded(t)
	original := newFixture(t).write(t, t.TempDir()+"/o", schema(t, from.DB))
	if err := restore(t, original, from); err != nil {
		t.Fatal(err)
	}
	storeLate(t, from.DB, gone)
	before := requestsOf(t, from)
	eachTarget(t, func(t *testing.T, to transfer.Engines) {
		if err := copyTo(t, from, to); err != nil {
			t.Fatal(err)
		}
		after := requestsOf(t, to)
		if after[gone] != 0 || after[analytics.ErasedUser] != before[analytics.ErasedUser]+before[gone] {
			t.Errorf("requests %v became %v", before, after)
		}
		_, reader := backup(t, to, "b")
		rows, _ := contents(t, reader)
		for stream, list := range rows {
			for _, text := range list {
				if strings.Contains(text, "late words") || stream == "analytics.events" && strings.Contains(text, "late request") {
					t.Errorf("%s has %s", stream, text)
				}
			}
		}
		if !slices.ContainsFunc(rows["auth.erased_users"], func(text string) bool { return strings.Contains(text, `"user_id":31}`) }) {
			t.Errorf("what the account left in the target would never be erased: %v", rows["auth.erased_users"])
		}
	})
}

// TestABackupWithRowsOfAnAccountThatIsGoneIsRestored has what earlier releases
// backed up.
func TestABackupWithRowsOfAnAccountThatIsGoneIsRestored(t *testing.T) {
	f := newFixture(t)
	for _, stream := range []string{"chat.sessions", "analytics.hours", "analytics.events"} {
		last := f.rows[stream][len(f.rows[stream])-1]
		last["user_id"] = 31
		if stream == "chat.sessions" {
			last["message_count"] = 0
			f.rows["chat.messages"] = slices.DeleteFunc(f.rows["chat.messages"], func(r row) bool { return r["session_id"] == last["id"] })
		}
	}
	eachTarget(t, func(t *testing.T, to transfer.Engines) {
		if err := restore(t, f.write(t, t.TempDir()+"/o", schema(t, to.DB)), to); err != nil {
			t.Error(err)
		}
	})
}

// storeLate stores a chat and usage of an account that is not there.
func storeLate(t *testing.T, db *database.DB, user int64) {
	t.Helper()
	var events []analytics.Event
	for _, when := range []time.Time{at(0), at(0), time.Now().Add(time.Hour)} {
		events = append(events, analytics.Event{
			ID: uid.New(when), At: when.UTC().Truncate(time.Millisecond), UserID: &user, Service: "chat", Action: "message", RequestID: "late request", Provider: "p", Model: "alpha",
			Status: analytics.StatusOK, LatencyMS: 4, HTTPStatus: 200, ObjectID: "late request",
		})
	}
	if err := analytics.NewRepository(db).Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO chat_sessions (id, user_id, title, system, model, last_model, last_position, message_count, input_tokens, output_tokens, estimated, created_at, updated_at)
			VALUES (?, ?, 'late words', '', '', '', 0, 0, 0, 0, FALSE, ?, ?)`, uid.New(at(1)), user, at(1), at(1)).Error
	})
	if err != nil {
		t.Fatal(err)
	}
}

// requestsOf sums the requests of engines by user.
func requestsOf(t *testing.T, e transfer.Engines) map[int64]int64 {
	t.Helper()
	repository := analytics.NewRepository(e.DB)
	if e.Documents != nil {
		repository = analytics.NewMongoRepository(e.Documents)
	}
	requests := map[int64]int64{}
	for _, user := range []int64{analytics.ErasedUser, 0, 1, 31} {
		period := analytics.Period{From: day.Add(-24 * time.Hour), To: time.Now().Add(48 * time.Hour)}
		rollups, err := repository.ListRollups(t.Context(), analytics.Scope{Period: period, UserID: &user}, analytics.Group{})
		if err != nil {
			t.Fatal(err)
		}
		for _, rollup := range rollups {
			requests[user] += rollup.Requests
		}
	}
	return requests
}
