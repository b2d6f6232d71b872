package chat

import (
	"context"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// figuresRow is one row of the query for figures.
type figuresRow struct {
	ID                               string
	UserID                           int64
	CreatedAt                        time.Time
	LastPosition, MessageCount       int64
	InputTokens, OutputTokens        int64
	Estimated                        bool
	Messages, Input, Output, Guessed int64
	Newest                           int64
}

// figuresQuery counts in one statement, so that it sees one moment.
const figuresQuery = `
SELECT s.id, s.user_id, s.created_at, s.last_position, s.message_count, s.input_tokens, s.output_tokens, s.estimated,
    COUNT(m.id) AS messages, CAST(COALESCE(SUM(m.input_tokens), 0) AS BIGINT) AS input,
    CAST(COALESCE(SUM(m.output_tokens), 0) AS BIGINT) AS output,
    COALESCE(MAX(CASE WHEN m.estimated THEN 1 ELSE 0 END), 0) AS guessed, COALESCE(MAX(m.position), 0) AS newest
FROM chat_sessions s LEFT JOIN chat_messages m ON m.session_id = s.id
WHERE s.id IN ? GROUP BY s.id ORDER BY s.id`

func (r gormRepository) ListFigures(ctx context.Context, after string, limit int) ([]figures, error) {
	var ids []string
	err := r.db.Read(ctx).Model(&sessionRow{}).Where("id > ?", after).Order("id").Limit(limit).Pluck("id", &ids).Error
	if err != nil || len(ids) == 0 {
		return nil, database.Fault(err)
	}
	return r.figuresOf(ctx, ids)
}

func (r gormRepository) figuresOf(ctx context.Context, ids []string) ([]figures, error) {
	var rows []figuresRow
	if err := r.db.Read(ctx).Raw(figuresQuery, ids).Scan(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	list := make([]figures, len(rows))
	for i, row := range rows {
		list[i] = figures{
			ID: row.ID, UserID: row.UserID, CreatedAt: row.CreatedAt.UTC(), LastPosition: row.LastPosition, Newest: row.Newest, Whole: row.whole(),
			Stored:  counted{row.MessageCount, row.InputTokens, row.OutputTokens, 0},
			Counted: counted{row.Messages, row.Input, row.Output, row.Guessed},
		}
		if row.Estimated {
			list[i].Stored.Estimated = 1
		}
	}
	return list, nil
}

// whole reports whether there is a message at every position up to the newest.
// Sessions that were brought along from an engine that leaves gaps show it in
// their figures; there it can only be told that each question has its answer.
func (row figuresRow) whole() bool {
	if row.LastPosition != row.MessageCount {
		return row.Messages%2 == 0
	}
	return row.Messages == row.Newest
}

func (r gormRepository) FindFigures(ctx context.Context, id string) (figures, error) {
	list, err := r.figuresOf(ctx, []string{id})
	if err == nil && len(list) == 0 {
		err = noSuchSession()
	}
	if err != nil {
		return figures{}, err
	}
	return list[0], nil
}

func (r gormRepository) Recount(ctx context.Context, id string) error {
	return sessionFault(r.db.Write(ctx, func(tx *gorm.DB) error {
		var row figuresRow
		if err := tx.Raw(figuresQuery, []string{id}).Scan(&row).Error; err != nil {
			return err
		}
		return oneRow(tx.Model(&sessionRow{}).Where("id = ?", id).UpdateColumns(map[string]any{
			"message_count": row.Messages, "input_tokens": row.Input, "output_tokens": row.Output,
			"estimated": row.Guessed > 0, "last_position": max(row.LastPosition, row.Newest),
		}))
	}))
}

func (r gormRepository) ListOpen(ctx context.Context, before time.Time, after string, limit int) ([]loose, error) {
	var rows []messageRow
	err := r.db.Read(ctx).Where(isUnfinished+" AND created_at < ? AND id > ?", before, after).Order("id").Limit(limit).Find(&rows).Error
	return looseRows(rows), database.Fault(err)
}

func looseRows(rows []messageRow) []loose {
	list := make([]loose, len(rows))
	for i, row := range rows {
		list[i] = loose{ID: row.ID, UserID: row.UserID, CreatedAt: row.CreatedAt.UTC()}
	}
	return list
}

func (r gormRepository) FailAnswer(ctx context.Context, id string, at time.Time) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Model(&messageRow{}).Where(isUnfinished+" AND id = ?", id).Updates(map[string]any{
			"status": statusFailed, "error_code": codeInterrupted, "error_detail": detailInterrupted, "finished_at": at,
		}).Error
	}))
}

func (r gormRepository) ListStray(ctx context.Context, before time.Time, after string, limit int) ([]loose, error) {
	var rows []messageRow
	err := r.db.Read(ctx).Where("NOT EXISTS (SELECT 1 FROM chat_sessions s WHERE s.id = chat_messages.session_id)").
		Where("created_at < ? AND id > ?", before, after).Order("id").Limit(limit).Find(&rows).Error
	return looseRows(rows), database.Fault(err)
}

func (r gormRepository) DeleteStray(ctx context.Context, id string) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Where("id = ?", id).Where("NOT EXISTS (SELECT 1 FROM chat_sessions s WHERE s.id = chat_messages.session_id)").
			Delete(&messageRow{}).Error
	}))
}

// ListHidden returns nothing: on SQL a session goes in one commit.
func (r gormRepository) ListHidden(context.Context, int) ([]string, error) { return nil, nil }

func (r gormRepository) FinishDeletion(context.Context, string) error {
	return fault.New(fault.Internal, "internal", "No deletion of a session can be unfinished on SQL.")
}
