package chat

import (
	"context"
	"fmt"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// Archive moves every session and message, in a form that is the same whether
// SQL or a document database keeps them.
type Archive struct {
	db        *database.DB
	documents *database.Mongo
	keep      func(userID int64) bool
	until     time.Time
}

// NewArchive returns the archive of the chats in documents, or in db when that
// is nil.
func NewArchive(db *database.DB, documents *database.Mongo) Archive {
	return Archive{db: db, documents: documents, keep: func(int64) bool { return true }}
}

// Within narrows what is exported to users that keep names, so that it goes with
// the accounts that are exported, and documents, of which nobody can take a
// snapshot, to what was begun until a moment; the zero time is none.
func (a Archive) Within(keep func(userID int64) bool, until time.Time) Archive {
	a.keep, a.until = keep, until
	return a
}

// The streams, in the order in which they can be imported.
const (
	streamSessions = "chat.sessions"
	streamMessages = "chat.messages"
)

// importPage is how many rows are imported at once. It is even: a question and
// its answer stay together.
const importPage = 100

// Streams names what there is, in the order of import.
func (a Archive) Streams() []string { return []string{streamSessions, streamMessages} }

// Export writes every session and every message. A session's figures are those
// of the messages that are written.
func (a Archive) Export(ctx context.Context, out archive.Rows) error {
	if a.documents != nil {
		return a.exportDocuments(ctx, out)
	}
	return a.exportRows(ctx, out)
}

// Import stores the rows of a stream where there are none.
func (a Archive) Import(ctx context.Context, stream string, lines *archive.Lines) error {
	sessions, messages := a.insertSessionRows, a.insertMessageRows
	if a.documents != nil {
		sessions, messages = a.insertSessionDocuments, a.insertExchangeDocuments
	}
	switch stream {
	case streamSessions:
		return archive.Pages(lines, importPage, func(page []archivedSession) error { return sessions(ctx, page) })
	case streamMessages:
		return archive.Pages(lines, importPage, func(page []archivedMessage) error { return messages(ctx, page) })
	}
	return fmt.Errorf("chat has no stream %s", stream)
}

// Complete has nothing to do.
func (a Archive) Complete(context.Context) error { return nil }

// Count returns how many sessions and messages there are; a document database
// counts a question and its answer as one.
func (a Archive) Count(ctx context.Context) (int64, error) {
	if a.documents != nil {
		return database.CountDocuments(ctx, a.documents, archivedCollections()...)
	}
	return database.CountRows(ctx, a.db, "chat_sessions", "chat_messages")
}

// Clear removes everything.
func (a Archive) Clear(ctx context.Context) error {
	if a.documents == nil {
		return database.DeleteAllRows(ctx, a.db, "chat_messages", "chat_sessions")
	}
	if err := database.DropCollections(ctx, a.documents, archivedCollections()...); err != nil {
		return err
	}
	return EnsureIndexes(ctx, a.documents)
}

// archivedSession is a line of chat.sessions, ordered by id.
type archivedSession struct {
	ID           string    `json:"id"`
	UserID       int64     `json:"user_id"`
	Title        string    `json:"title"`
	System       string    `json:"system"`
	Model        string    `json:"model"`
	LastModel    string    `json:"last_model"`
	LastPosition int64     `json:"last_position"`
	MessageCount int64     `json:"message_count"`
	InputTokens  int64     `json:"input_tokens"`
	OutputTokens int64     `json:"output_tokens"`
	Estimated    bool      `json:"estimated"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// archivedMessage is a line of chat.messages, ordered by session and position.
type archivedMessage struct {
	ID           string     `json:"id"`
	SessionID    string     `json:"session_id"`
	UserID       int64      `json:"user_id"`
	Position     int64      `json:"position"`
	Role         string     `json:"role"`
	Content      string     `json:"content"`
	Status       string     `json:"status"`
	Provider     string     `json:"provider"`
	Model        string     `json:"model"`
	FinishReason string     `json:"finish_reason"`
	ErrorCode    string     `json:"error_code"`
	ErrorDetail  string     `json:"error_detail"`
	InputTokens  int64      `json:"input_tokens"`
	OutputTokens int64      `json:"output_tokens"`
	Estimated    bool       `json:"estimated"`
	Extra        string     `json:"extra,omitempty"`
	Thread       string     `json:"thread,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	FinishedAt   *time.Time `json:"finished_at"`
}

func archivedMessageOf(m message) archivedMessage {
	archived := archivedMessage{
		ID: m.ID, SessionID: m.SessionID, UserID: m.UserID, Position: m.Position, Role: m.Role, Content: m.Content, Status: m.Status,
		Provider: m.Provider, Model: m.Model, FinishReason: m.FinishReason, ErrorCode: m.ErrorCode, ErrorDetail: m.ErrorDetail,
		InputTokens: m.Tokens.Input, OutputTokens: m.Tokens.Output, Estimated: m.Tokens.Estimated,
		Extra: m.Extra, Thread: m.Thread, CreatedAt: m.CreatedAt,
	}
	if !m.FinishedAt.IsZero() {
		archived.FinishedAt = &m.FinishedAt
	}
	return archived
}

// before reports whether something begun at this time is exported.
func (a Archive) before(created time.Time) bool { return a.until.IsZero() || !created.After(a.until) }
