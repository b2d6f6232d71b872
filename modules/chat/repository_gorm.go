package chat

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// gormRepository keeps chat in SQLite or PostgreSQL. Every act that touches
// both tables locks the session first, so that two acts on one session queue up
// instead of waiting for each other.
type gormRepository struct{ db *database.DB }

const (
	ownSession        = "id = ? AND user_id = ?"
	lastChangedFirst  = "updated_at DESC, id DESC"
	firstChangedFirst = "updated_at, id"
)

func noSuchSession() error {
	return fault.New(fault.NotFound, "not_found", "There is no such chat session. GET /chat/sessions lists yours.")
}

func (r gormRepository) CreateSession(ctx context.Context, s session) error {
	row := newSessionRow(s)
	return sessionFault(r.db.Write(ctx, func(tx *gorm.DB) error { return tx.Create(&row).Error }))
}

func (r gormRepository) FindSession(ctx context.Context, userID int64, id string) (session, error) {
	var row sessionRow
	if err := r.db.Read(ctx).Where(ownSession, id, userID).Take(&row).Error; err != nil {
		return session{}, sessionFault(err)
	}
	return row.session(), nil
}

func (r gormRepository) ListSessions(ctx context.Context, userID int64, page web.Page) ([]session, int64, error) {
	var total int64
	if err := r.db.Read(ctx).Model(&sessionRow{}).Where("user_id = ?", userID).Count(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	list, err := r.sessionsAt(ctx, userID, database.StretchOf(page.Offset(), page.Size, total))
	return list, total, err
}

// sessionsAt finds the ids of a page in an index alone, so that passing over
// sessions reads none of them, and then their rows, in the order of the ids.
func (r gormRepository) sessionsAt(ctx context.Context, userID int64, part database.Stretch) ([]session, error) {
	list := make([]session, 0, part.Take)
	if part.Take == 0 {
		return list, nil
	}
	order := lastChangedFirst
	if part.Backward {
		order = firstChangedFirst
	}
	var ids []string
	own := r.db.Read(ctx).Model(&sessionRow{}).Where("user_id = ?", userID)
	if err := own.Order(order).Offset(part.Skip).Limit(part.Take).Pluck("id", &ids).Error; err != nil {
		return nil, database.Fault(err)
	}
	if part.Backward {
		slices.Reverse(ids)
	}
	var rows []sessionRow
	if err := r.db.Read(ctx).Where("user_id = ? AND id IN ?", userID, ids).Find(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	byID := make(map[string]sessionRow, len(rows))
	for _, row := range rows {
		byID[row.ID] = row
	}
	for _, id := range ids {
		if row, there := byID[id]; there { // not deleted meanwhile
			list = append(list, row.session())
		}
	}
	return list, nil
}

func (r gormRepository) RenameSession(ctx context.Context, s sessionTitle) error {
	return sessionFault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return oneRow(tx.Model(&sessionRow{}).Where(ownSession, s.ID, s.UserID).
			Updates(map[string]any{"title": s.Title, "updated_at": s.At}))
	}))
}

func (r gormRepository) DeleteSession(ctx context.Context, userID int64, id string) error {
	return sessionFault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return oneRow(tx.Where(ownSession, id, userID).Delete(&sessionRow{})) // the messages go with it
	}))
}

// EraseUser deletes one session in a transaction, so that a long history blocks
// nobody.
func (r gormRepository) EraseUser(ctx context.Context, userID int64) error {
	for {
		batch, _, err := r.ListSessions(ctx, userID, web.Page{Number: 1, Size: web.MaxPageSize})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, one := range batch {
			err := r.DeleteSession(ctx, userID, one.ID)
			if err != nil && !fault.Is(err, fault.NotFound) { // somebody else removed it first
				return err
			}
		}
	}
}

func (r gormRepository) ListMessages(ctx context.Context, userID int64, sessionID string, part messagePart) ([]message, error) {
	if part.Offset > 0 && part.Before == 0 {
		var err error
		if part, err = r.sought(ctx, userID, sessionID, part); err != nil {
			return nil, err
		}
	}
	query := r.db.Read(ctx).Where("session_id = ? AND user_id = ?", sessionID, userID)
	if part.Before > 0 {
		query = query.Where("position < ?", part.Before)
	}
	var rows []messageRow
	if err := query.Order("position DESC").Offset(part.Offset).Limit(part.Limit).Find(&rows).Error; err != nil {
		return nil, database.Fault(err)
	}
	list := make([]message, 0, len(rows))
	for _, row := range rows {
		list = append(list, row.message())
	}
	return list, nil
}

// sought turns an offset into the position that it leads to: the positions of a
// session are dense here, so that a page far back is found by the index instead
// of by passing over all that came later. Messages that were brought along from
// an engine that leaves gaps show it in their session's figures; there the
// index counts how many of the positions passed over are taken, and only as many
// rows as gaps are still passed over.
func (r gormRepository) sought(ctx context.Context, userID int64, sessionID string, part messagePart) (messagePart, error) {
	var of sessionRow
	err := r.db.Read(ctx).Select("last_position", "message_count").Where(ownSession, sessionID, userID).Take(&of).Error
	if database.IsNotFound(err) {
		return part, nil // and it has no messages
	}
	if err != nil {
		return part, database.Fault(err)
	}
	from := of.LastPosition - int64(part.Offset) // of the first message of the part, or above it
	passed := int64(part.Offset)
	if of.LastPosition != of.MessageCount {
		later := r.db.Read(ctx).Model(&messageRow{}).Where("session_id = ? AND position > ? AND position <= ?", sessionID, from, of.LastPosition)
		if err := later.Count(&passed).Error; err != nil {
			return part, database.Fault(err)
		}
	}
	part.Before, part.Offset = max(from, 0)+1, part.Offset-int(passed)
	return part, nil
}

func (r gormRepository) FindThread(ctx context.Context, userID int64, thread string) (string, error) {
	var row messageRow
	err := r.db.Read(ctx).Select("session_id").Where("user_id = ? AND thread = ? AND thread <> ''", userID, thread).
		Order("id DESC").Take(&row).Error
	if database.IsNotFound(err) {
		return "", nil
	}
	return row.SessionID, database.Fault(err)
}

const ownAnswer = "id = ? AND user_id = ? AND role = '" + roleAssistant + "'"

func (r gormRepository) FindAnswer(ctx context.Context, userID int64, id string) (message, error) {
	var row messageRow
	if err := r.db.Read(ctx).Where(ownAnswer, id, userID).Take(&row).Error; err != nil {
		return message{}, answerFault(err)
	}
	return row.message(), nil
}

// isUnfinished finds processing answers by the partial index of the same
// condition. The engines use that only when the state is written out: for a
// parameter SQLite reads every message there is.
const isUnfinished = "status = '" + statusProcessing + "'"

// unfinishedBatch is how many processing answers are judged at once.
const unfinishedBatch = 100

func (r gormRepository) FailUnfinished(ctx context.Context, at time.Time, choose chooser) (int, error) {
	count, after := 0, ""
	for {
		var list []unfinished
		err := r.db.Read(ctx).Model(&messageRow{}).Where(isUnfinished+" AND id > ?", after).
			Order("id").Limit(unfinishedBatch).Find(&list).Error
		if err != nil || len(list) == 0 {
			return count, database.Fault(err)
		}
		failed, err := r.failChosen(ctx, at, list, choose)
		count += failed
		if err != nil {
			return count, err
		}
		after = list[len(list)-1].ID
	}
}

func (r gormRepository) failChosen(ctx context.Context, at time.Time, list []unfinished, choose chooser) (failed int, err error) {
	ids, err := choose(ctx, list)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		changed := tx.Model(&messageRow{}).Where(isUnfinished+" AND id IN ?", ids).Updates(map[string]any{
			"status": statusFailed, "error_code": codeInterrupted, "error_detail": detailInterrupted, "finished_at": at,
		})
		failed = int(changed.RowsAffected)
		return changed.Error
	})
	return failed, database.Fault(err)
}

// oneRow makes a change that met no row a NotFound.
func oneRow(changed *gorm.DB) error {
	if changed.Error == nil && changed.RowsAffected == 0 {
		return gorm.ErrRecordNotFound
	}
	return changed.Error
}

func answerFault(err error) error {
	if database.IsNotFound(err) || fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "not_found", "There is no such answer.")
	}
	return database.Fault(err)
}

func sessionFault(err error) error {
	switch {
	case database.IsNotFound(err):
		return noSuchSession()
	case database.IsDuplicate(err):
		return fault.Wrap(err, fault.Conflict, "already_exists", "There is a chat session or message with this id already.")
	default:
		return database.Fault(err)
	}
}
