package chat

import "time"

// The roles of a stored message. The system prompt belongs to the session.
const (
	roleUser      = "user"
	roleAssistant = "assistant"
	roleSystem    = "system" // only in what is sent to a provider
)

// The states of a message. Only an answer is ever processing; it ends in
// exactly one of the others.
const (
	statusProcessing = "processing"
	statusCompleted  = "completed"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
)

// codeInterrupted marks an answer that the server's own end cut off.
const (
	codeInterrupted   = "interrupted"
	detailInterrupted = "The server stopped before this answer was complete. Send the message again."
)

// message is one turn of a session: a question of the user or the answer to it.
type message struct {
	ID        string
	SessionID string
	UserID    int64
	// Position orders the messages of a session from 1. An answer follows its
	// question directly.
	Position     int64
	Role         string
	Content      string
	Status       string
	Instance     string // the server that works or worked on an answer; "" for a question
	Provider     string // who answered, or is asked to; "" for a question
	Model        string
	FinishReason string // why the answer ended: "stop", "length", …; "" while unknown
	ErrorCode    string // of a failed or cancelled answer
	ErrorDetail  string
	Tokens       tokens // of an answer; a question's are part of its answer's input
	// Extra is what a request of the OpenAI-compatible API, or its answer, is more
	// than its text: a JSON object, or "".
	Extra string
	// Thread names the conversation that an answer to such a request ends; see
	// threadOf. "" = none.
	Thread     string
	CreatedAt  time.Time
	FinishedAt time.Time // zero while processing
}

// usable reports whether an answer may be shown to a provider as history: it
// has text, and that text did not end in a failure.
func (m message) usable() bool {
	return m.Role == roleAssistant && m.Content != "" && (m.Status == statusCompleted || m.Status == statusCancelled)
}

// tokens are what one answer, or all of a session's, consumed.
type tokens struct {
	Input     int64
	Output    int64
	Estimated bool // at least a part was counted here, not by a provider
}
