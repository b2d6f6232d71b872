package chat

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/testkit"
)

// exported keeps what an export writes.
type exported struct {
	sessions []archivedSession
	messages []archivedMessage
}

func (e *exported) Write(_ string, row any) error {
	switch row := row.(type) {
	case archivedSession:
		e.sessions = append(e.sessions, row)
	case archivedMessage:
		e.messages = append(e.messages, row)
	}
	return nil
}

// TestASessionGoesOnThoughItWasExportedWhileItWasWrittenTo: its document was
// read before the exchange that the export includes.
func TestASessionGoesOnThoughItWasExportedWhileItWasWrittenTo(t *testing.T) {
	r := mongoStore(t, testkit.Mongo(t)).(mongoRepository)
	s := sessionWithGaps(t, r, 0, 0, 0)
	must(t, secondOf(r.update(t.Context(), r.sessions(), bson.M{"_id": s.ID}, bson.M{"last_position": int64(2)})))
	var out exported
	must(t, NewArchive(nil, r.db).Export(t.Context(), &out))
	if len(out.sessions) != 1 || len(out.messages) != 4 || out.sessions[0].LastPosition != 4 {
		t.Fatalf("%+v", out)
	}
	db := testkit.SQLite(t)
	into := NewArchive(db, nil)
	must(t, into.insertSessionRows(t.Context(), out.sessions))
	must(t, into.insertMessageRows(t.Context(), out.messages))
	must(t, gormRepository{db}.BeginExchange(t.Context(), begin(s, "goes on", epoch.Add(time.Minute))))
}

func secondOf[T any](_ T, err error) error { return err }
