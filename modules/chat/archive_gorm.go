package chat

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

func (a Archive) exportRows(ctx context.Context, out archive.Rows) error {
	err := database.EachRow(func(after *sessionRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row sessionRow) error {
		if !a.keep(row.UserID) {
			return nil
		}
		row.CreatedAt, row.UpdatedAt = row.CreatedAt.UTC(), row.UpdatedAt.UTC()
		return out.Write(streamSessions, archivedSession(row))
	})
	if err != nil {
		return err
	}
	return database.EachRow(func(after *messageRow) *gorm.DB {
		query := a.db.Read(ctx).Order("session_id, position")
		if after != nil {
			query = query.Where("(session_id, position) > (?, ?)", after.SessionID, after.Position)
		}
		return query
	}, func(row messageRow) error {
		if !a.keep(row.UserID) {
			return nil
		}
		return out.Write(streamMessages, archivedMessageOf(row.message()))
	})
}

func (a Archive) insertSessionRows(ctx context.Context, page []archivedSession) error {
	rows := make([]sessionRow, len(page))
	for i, session := range page {
		rows[i] = sessionRow(session)
	}
	return database.InsertRows(ctx, a.db, rows)
}

func (a Archive) insertMessageRows(ctx context.Context, page []archivedMessage) error {
	rows := make([]messageRow, len(page))
	for i, message := range page {
		rows[i] = message.row()
	}
	return database.InsertRows(ctx, a.db, rows)
}

func (m archivedMessage) row() messageRow {
	return messageRow{
		ID: m.ID, SessionID: m.SessionID, UserID: m.UserID, Position: m.Position, Role: m.Role, Content: m.Content, Status: m.Status,
		Provider: m.Provider, Model: m.Model, FinishReason: m.FinishReason, ErrorCode: m.ErrorCode, ErrorDetail: m.ErrorDetail,
		InputTokens: m.InputTokens, OutputTokens: m.OutputTokens, Estimated: m.Estimated, Extra: m.Extra, Thread: m.Thread, CreatedAt: m.CreatedAt, FinishedAt: m.FinishedAt,
	}
}
