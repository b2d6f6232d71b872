package chat

import "time"

type sessionRow struct {
	ID           string `gorm:"primaryKey"`
	UserID       int64
	Title        string
	System       string
	Model        string
	LastModel    string
	LastPosition int64
	MessageCount int64
	InputTokens  int64
	OutputTokens int64
	Estimated    bool
	CreatedAt    time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt    time.Time `gorm:"autoUpdateTime:false"`
}

// TableName names the table.
func (sessionRow) TableName() string { return "chat_sessions" }

// newSessionRow returns the row of a session without messages.
func newSessionRow(s session) sessionRow {
	return sessionRow{ID: s.ID, UserID: s.UserID, Title: s.Title, System: s.System, Model: s.Model, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
}

func (r sessionRow) session() session {
	return session{
		ID: r.ID, UserID: r.UserID, Title: r.Title, System: r.System, Model: r.Model, LastModel: r.LastModel, MessageCount: r.MessageCount,
		Tokens:    tokens{Input: r.InputTokens, Output: r.OutputTokens, Estimated: r.Estimated},
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

type messageRow struct {
	ID           string `gorm:"primaryKey"`
	SessionID    string
	UserID       int64
	Position     int64
	Role         string
	Content      string
	Status       string
	Instance     string
	Provider     string
	Model        string
	FinishReason string
	ErrorCode    string
	ErrorDetail  string
	InputTokens  int64
	OutputTokens int64
	Estimated    bool
	Extra        string
	Thread       string
	CreatedAt    time.Time `gorm:"autoCreateTime:false"`
	FinishedAt   *time.Time
}

// TableName names the table.
func (messageRow) TableName() string { return "chat_messages" }

func (r messageRow) message() message {
	m := message{
		ID: r.ID, SessionID: r.SessionID, UserID: r.UserID, Position: r.Position, Role: r.Role, Content: r.Content, Status: r.Status, Instance: r.Instance,
		Provider: r.Provider, Model: r.Model, FinishReason: r.FinishReason, ErrorCode: r.ErrorCode, ErrorDetail: r.ErrorDetail,
		Tokens: tokens{Input: r.InputTokens, Output: r.OutputTokens, Estimated: r.Estimated},
		Extra:  r.Extra, Thread: r.Thread, CreatedAt: r.CreatedAt.UTC(),
	}
	if r.FinishedAt != nil {
		m.FinishedAt = r.FinishedAt.UTC()
	}
	return m
}
