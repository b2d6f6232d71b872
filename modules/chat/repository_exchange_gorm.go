package chat

import (
	"context"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// These two acts are on the path of every answer. They are written in the SQL
// that both engines understand, for grouped commits.

// insertSession makes a session of two messages.
const insertSession = `INSERT INTO chat_sessions (id, user_id, title, system, model, last_position, message_count, created_at, updated_at,
	input_tokens, output_tokens, estimated, last_model) VALUES (?, ?, ?, ?, ?, 2, 2, ?, ?, ?, ?, ?, ?)`

// beginInSession counts two messages and returns the position of the second. It
// locks the session: nobody else gets these positions.
const beginInSession = `UPDATE chat_sessions SET last_position = last_position + 2, message_count = message_count + 2,
	title = CASE WHEN title = '' THEN CAST(? AS TEXT) ELSE title END, updated_at = ?,
	system = COALESCE(CAST(? AS TEXT), system), model = COALESCE(CAST(? AS TEXT), model),
	input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, estimated = estimated OR ?,
	last_model = COALESCE(CAST(? AS TEXT), last_model)
	WHERE id = ? AND user_id = ? RETURNING last_position`

const insertMessage = `INSERT INTO chat_messages (id, session_id, user_id, position, role, content, status, instance,
	provider, model, finish_reason, error_code, error_detail, input_tokens, output_tokens, estimated, extra, thread, created_at, finished_at)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (r gormRepository) BeginExchange(ctx context.Context, begin exchangeStart) error {
	if begin.Answer.Status != statusProcessing {
		ctx = database.AllowQueue(ctx, finishQueue)
	}
	return sessionFault(r.db.WriteGrouped(ctx, func(tx database.Statements) error {
		last, err := begin.count(tx)
		if err != nil {
			return err
		}
		question, answer := begin.Question, begin.Answer
		question.Position, answer.Position = last-1, last
		if err := insert(tx, question); err != nil {
			return err
		}
		return insert(tx, answer)
	}))
}

func (r gormRepository) TakesWhole() bool { return r.db.Groups() }

// count makes the session or counts two messages more, and returns the position
// of the second.
func (b exchangeStart) count(tx database.Statements) (last int64, err error) {
	s, used := b.applied(), b.Answer.Tokens
	if !b.New {
		return tx.Int(beginInSession, b.Title, s.UpdatedAt, textOrNull(b.System), textOrNull(b.Model),
			used.Input, used.Output, used.Estimated, textOrNull(b.lastModel()), s.ID, s.UserID)
	}
	_, err = tx.Exec(insertSession, s.ID, s.UserID, s.Title, s.System, s.Model, s.CreatedAt, s.UpdatedAt,
		used.Input, used.Output, used.Estimated, s.LastModel)
	return 2, err
}

func insert(tx database.Statements, m message) error {
	var finished any
	if !m.FinishedAt.IsZero() {
		finished = m.FinishedAt
	}
	_, err := tx.Exec(insertMessage, m.ID, m.SessionID, m.UserID, m.Position, m.Role, m.Content, m.Status, m.Instance,
		m.Provider, m.Model, m.FinishReason, m.ErrorCode, m.ErrorDetail, m.Tokens.Input, m.Tokens.Output, m.Tokens.Estimated,
		m.Extra, m.Thread, m.CreatedAt, finished)
	return err
}

func textOrNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

const addToSession = `UPDATE chat_sessions SET input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, updated_at = ?,
	estimated = estimated OR ?, last_model = CASE WHEN ? THEN CAST(? AS TEXT) ELSE last_model END
	WHERE id = ? AND user_id = ?`

const finishMessage = `UPDATE chat_messages SET content = ?, status = ?, provider = ?, model = ?, finish_reason = ?, error_code = ?,
	error_detail = ?, input_tokens = ?, output_tokens = ?, estimated = ?, extra = ?, thread = ?, finished_at = ?
	WHERE id = ? AND session_id = ? AND (status = '` + statusProcessing + `' OR (status = '` + statusFailed + `' AND error_code = '` + codeInterrupted + `'))`

// finishQueue is how long an outcome may wait for its turn on SQLite.
const finishQueue = 20 * time.Second

func (r gormRepository) FinishAnswer(ctx context.Context, a message) error {
	ctx = database.AllowQueue(ctx, finishQueue)
	return sessionFault(r.db.WriteGrouped(ctx, func(tx database.Statements) error {
		changed, err := tx.Exec(addToSession, a.Tokens.Input, a.Tokens.Output, a.FinishedAt, a.Tokens.Estimated, a.Content != "", a.Model, a.SessionID, a.UserID)
		if err != nil {
			return err
		}
		if changed == 0 {
			return noSuchSession()
		}
		changed, err = tx.Exec(finishMessage, a.Content, a.Status, a.Provider, a.Model, a.FinishReason, a.ErrorCode,
			a.ErrorDetail, a.Tokens.Input, a.Tokens.Output, a.Tokens.Estimated, a.Extra, a.Thread, a.FinishedAt, a.ID, a.SessionID)
		if err == nil && changed == 0 {
			return refuseSecondOutcome(tx, a) // rolls the sums back
		}
		return err
	}))
}

func refuseSecondOutcome(tx database.Statements, answer message) error {
	if _, err := tx.Int("SELECT position FROM chat_messages WHERE id = ? AND session_id = ?", answer.ID, answer.SessionID); err != nil {
		return err
	}
	return fault.New(fault.Conflict, "already_finished", "This answer has its outcome already.")
}
