package chat

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

func archivedCollections() []string { return []string{sessionDocuments, exchangeDocuments} }

// exportDocuments goes through the sessions that can be seen and writes each
// after its messages, of which it has the figures.
func (a Archive) exportDocuments(ctx context.Context, out archive.Rows) error {
	id := func(d sessionDocument) string { return d.ID }
	return database.EachDocument(ctx, a.documents, sessionDocuments, id, func(d sessionDocument) error {
		if d.Deleted || !a.keep(d.UserID) || !a.before(d.CreatedAt) {
			return nil
		}
		archived := archivedSession{
			ID: d.ID, UserID: d.UserID, Title: d.Title, System: d.System, Model: d.Model, LastModel: d.LastModel,
			LastPosition: d.LastPosition, CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
		}
		if err := a.exportExchanges(ctx, out, &archived); err != nil {
			return err
		}
		return out.Write(streamSessions, archived)
	})
}

// exchangePage is how many exchanges are read at once.
const exchangePage = 100

func (a Archive) exportExchanges(ctx context.Context, out archive.Rows, session *archivedSession) error {
	after := int64(0)
	for {
		page, err := database.Documents[exchangeDocument](ctx, a.documents, func(ctx context.Context) (*mongo.Cursor, error) {
			which := bson.M{"session_id": session.ID, "position": bson.M{"$gt": after}}
			order := options.Find().SetSort(bson.D{{Key: "position", Value: 1}}).SetLimit(exchangePage)
			return a.documents.Collection(exchangeDocuments).Find(ctx, which, order)
		})
		if err != nil {
			return err
		}
		for _, d := range page {
			after = d.Position
			if !a.before(d.CreatedAt) {
				continue
			}
			pair := d.newestFirst(0)
			if err := errors.Join(out.Write(streamMessages, archivedMessageOf(pair[1])), out.Write(streamMessages, archivedMessageOf(pair[0]))); err != nil {
				return err
			}
			session.LastPosition = max(session.LastPosition, d.Position+1) // the session was read before
			session.MessageCount += 2
			session.InputTokens += d.InputTokens
			session.OutputTokens += d.OutputTokens
			session.Estimated = session.Estimated || d.Estimated > 0
		}
		if len(page) < exchangePage {
			return nil
		}
	}
}

func (a Archive) insertSessionDocuments(ctx context.Context, page []archivedSession) error {
	documents := make([]sessionDocument, len(page))
	for i, s := range page {
		documents[i] = sessionDocument{
			ID: s.ID, UserID: s.UserID, Title: s.Title, System: s.System, Model: s.Model, LastModel: s.LastModel,
			LastPosition: s.LastPosition, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		}
	}
	return database.InsertDocuments(ctx, a.documents, sessionDocuments, documents)
}

var errNoPair = errors.New("a question without its answer, or an answer without its question, cannot be stored as a document")

// insertExchangeDocuments makes one document of a question and its answer.
func (a Archive) insertExchangeDocuments(ctx context.Context, page []archivedMessage) error {
	if len(page)%2 != 0 {
		return errNoPair
	}
	documents := make([]exchangeDocument, 0, len(page)/2)
	for i := 0; i < len(page); i += 2 {
		q, m := page[i], page[i+1]
		if q.SessionID != m.SessionID || q.Position+1 != m.Position || q.Role != roleUser || m.Role != roleAssistant || q.FinishedAt == nil {
			return errNoPair
		}
		document := exchangeDocument{
			ID: m.ID, SessionID: m.SessionID, UserID: m.UserID, Position: q.Position, Messages: 2,
			Question: questionDocument{q.ID, q.Content, q.CreatedAt, *q.FinishedAt, q.Extra},
			Content:  m.Content, Status: m.Status, Provider: m.Provider, Model: m.Model, FinishReason: m.FinishReason,
			ErrorCode: m.ErrorCode, ErrorDetail: m.ErrorDetail, InputTokens: m.InputTokens, OutputTokens: m.OutputTokens,
			Extra: m.Extra, Thread: m.Thread, CreatedAt: m.CreatedAt, FinishedAt: m.FinishedAt,
		}
		if m.Estimated {
			document.Estimated = 1
		}
		documents = append(documents, document)
	}
	return database.InsertDocuments(ctx, a.documents, exchangeDocuments, documents)
}
