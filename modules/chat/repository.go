package chat

import (
	"cmp"
	"context"
	"time"

	"llmhist/platform/web"
)

// repository stores sessions and messages. Every method is one atomic act, and
// none hands a transaction to its caller. A session or message of another user
// is treated like one that does not exist: a NotFound fault. A ctx that has
// ended writes nothing.
//
// The acts are shaped so that a document store without transactions can perform
// them too; mongoRepository says how.
type repository interface {
	// CreateSession stores a new session. A second one with its id is a
	// Conflict fault.
	CreateSession(ctx context.Context, s session) error

	// FindSession returns the user's session.
	FindSession(ctx context.Context, userID int64, id string) (session, error)

	// ListSessions returns a page of the user's sessions and how many there
	// are in all: the one changed last first, ties by id, so that the order is
	// total. The list is never nil.
	ListSessions(ctx context.Context, userID int64, page web.Page) ([]session, int64, error)

	// RenameSession sets the title and the time of change.
	RenameSession(ctx context.Context, s sessionTitle) error

	// DeleteSession removes the session and all of its messages.
	DeleteSession(ctx context.Context, userID int64, id string) error

	// EraseUser removes every session of the user and all of their messages, in
	// steps that block nobody. A call that failed can be repeated and goes on.
	EraseUser(ctx context.Context, userID int64) error

	// ListMessages returns messages of the user's session, newest first. A
	// session that does not exist has none. The list is never nil.
	ListMessages(ctx context.Context, userID int64, sessionID string, part messagePart) ([]message, error)

	// BeginExchange stores a completed question and the processing answer to
	// it at the next two positions of the session, counts both, gives a
	// session without a title the proposed one, and applies the changes that
	// came with the message. With New set the session is created by the same
	// act. Any number of exchanges may begin in one session at once: none is
	// lost and all positions differ. An answer that has its outcome already is
	// stored with it, as FinishAnswer would.
	BeginExchange(ctx context.Context, begin exchangeStart) error

	// TakesWhole reports whether an exchange had better be stored together with its
	// outcome when that comes soon: an act costs much however little it does, other
	// servers do not look at this store, and the last act did not fail.
	TakesWhole() bool

	// FindThread returns the session of the user's newest answer with this
	// thread, or "" when there is none. A session that is being deleted may
	// still be found.
	FindThread(ctx context.Context, userID int64, thread string) (sessionID string, err error)

	// FindAnswer returns the user's answer with this id, whatever its state. The id
	// of a question is not found, and neither is an answer whose session is being
	// deleted.
	FindAnswer(ctx context.Context, userID int64, id string) (message, error)

	// FinishAnswer sets the outcome of an answer and adds its tokens to its
	// session, once: an answer that has an outcome already is a Conflict
	// fault. An answer that was declared interrupted takes its true outcome:
	// its server was only believed to be dead.
	FinishAnswer(ctx context.Context, answer message) error

	// FailUnfinished turns those processing answers that choose picks into
	// failed ones with code "interrupted" and returns how many there were.
	// choose is given them after they were read, a batch at a time.
	FailUnfinished(ctx context.Context, at time.Time, choose chooser) (int, error)
}

// unfinished is an answer that is processing.
type unfinished struct {
	ID        string
	Instance  string // the server that works on it
	CreatedAt time.Time
}

// chooser returns the ids of those answers that nobody works on any more.
type chooser func(ctx context.Context, list []unfinished) ([]string, error)

// sessionTitle renames one session.
type sessionTitle struct {
	UserID int64
	ID     string
	Title  string
	At     time.Time
}

// messagePart says which messages of a session are listed.
type messagePart struct {
	Before int64 // only positions below it; 0 = from the newest
	Offset int   // how many of those are passed over
	Limit  int   // at most so many
}

// exchangeStart is what BeginExchange stores. The positions of the messages are
// the repository's to give.
type exchangeStart struct {
	Session  session // all of it when New; else only ID, UserID and UpdatedAt count
	New      bool
	Title    string  // for a session that has none
	System   *string // the session's new system prompt; nil = as it is
	Model    *string // the session's new model; nil = as it is
	Question message
	Answer   message
}

// lastModel returns the model that the session's newest text is of from now on;
// nil = it is as it was.
func (b exchangeStart) lastModel() *string {
	if b.Answer.Content == "" {
		return nil
	}
	return &b.Answer.Model
}

// applied returns the session with what came along with the exchange, except what
// it has already.
func (b exchangeStart) applied() session {
	s := b.Session
	s.Title = cmp.Or(s.Title, b.Title)
	if b.System != nil {
		s.System = *b.System
	}
	if b.Model != nil {
		s.Model = *b.Model
	}
	if model := b.lastModel(); model != nil {
		s.LastModel = *model
	}
	if b.Answer.FinishedAt.After(s.UpdatedAt) {
		s.UpdatedAt = b.Answer.FinishedAt
	}
	return s
}
