package chat

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/web"
)

// mongoRepository keeps chat in a document database without transactions. What
// must appear at once is one document, and what can be counted is not stored:
//
//   - An exchange is one document in chat_exchanges that holds the question and
//     its answer. The question has the stored position, the answer the next one.
//   - A session is one document in chat_sessions. Its message count and tokens
//     are counted from its exchanges when it is read, so that no crash can leave
//     them wrong. last_position only gives positions away; a gap in them does no
//     harm.
//   - An exchange is visible when its session is. A session that is being deleted
//     is marked first, which hides all of it, and then removed step by step.
//
// Each method says what a crash between its steps leaves. FailUnfinished, which
// runs at every start and from time to time, completes that.
type mongoRepository struct{ db *database.Mongo }

const (
	sessionDocuments  = "chat_sessions"
	exchangeDocuments = "chat_exchanges"
)

// EnsureIndexes creates the indexes of chat in a document database. It is called
// once before the module is used on it, as migrations are on SQL.
func EnsureIndexes(ctx context.Context, db *database.Mongo) error {
	err := db.EnsureIndexes(ctx, sessionDocuments,
		database.Index{Keys: bson.D{{Key: "user_id", Value: 1}, {Key: "deleted", Value: 1}, {Key: "updated_at", Value: -1}, {Key: "_id", Value: -1}}},
		database.Index{Keys: bson.D{{Key: "deleted", Value: 1}}})
	if err != nil {
		return err
	}
	return db.EnsureIndexes(ctx, exchangeDocuments,
		database.Index{Keys: bson.D{{Key: "session_id", Value: 1}, {Key: "position", Value: 1}}, Unique: true},
		database.Index{Keys: bson.D{{Key: "question._id", Value: 1}}, Unique: true},
		// From this one a session's figures are counted without its texts.
		database.Index{Keys: bson.D{{Key: "session_id", Value: 1}, {Key: "messages", Value: 1}, {Key: "input_tokens", Value: 1}, {Key: "output_tokens", Value: 1}, {Key: "estimated", Value: 1}}},
		database.Index{Keys: bson.D{{Key: "status", Value: 1}}},
		database.Index{Keys: bson.D{{Key: "thread", Value: 1}}})
}

func (r mongoRepository) sessions() *mongo.Collection  { return r.db.Collection(sessionDocuments) }
func (r mongoRepository) exchanges() *mongo.Collection { return r.db.Collection(exchangeDocuments) }

// ownDocument selects the user's session unless it is being deleted.
func ownDocument(userID int64, id string) bson.M {
	return bson.M{"_id": id, "user_id": userID, "deleted": false}
}

func (r mongoRepository) CreateSession(ctx context.Context, s session) error {
	return sessionFault(r.insert(ctx, r.sessions(), newSessionDocument(s, 0)))
}

func (r mongoRepository) FindSession(ctx context.Context, userID int64, id string) (session, error) {
	document, err := r.liveSession(ctx, userID, id)
	if err != nil {
		return session{}, err
	}
	list, err := r.counted(ctx, []sessionDocument{document})
	if err != nil {
		return session{}, err
	}
	return list[0], nil
}

// liveSession looks for the id alone, which every server does by its key, and
// compares the rest here.
func (r mongoRepository) liveSession(ctx context.Context, userID int64, id string) (sessionDocument, error) {
	var document sessionDocument
	err := r.db.Do(ctx, func(ctx context.Context) error {
		return r.sessions().FindOne(ctx, bson.M{"_id": id}).Decode(&document)
	})
	if err == nil && (document.UserID != userID || document.Deleted) {
		err = noSuchSession()
	}
	return document, sessionFault(err)
}

func (r mongoRepository) ListSessions(ctx context.Context, userID int64, page web.Page) ([]session, int64, error) {
	own := bson.M{"user_id": userID, "deleted": false}
	var total int64
	err := r.db.Do(ctx, func(ctx context.Context) (err error) {
		total, err = r.sessions().CountDocuments(ctx, own)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	order := options.Find().SetSort(bson.D{{Key: "updated_at", Value: -1}, {Key: "_id", Value: -1}}).
		SetSkip(int64(page.Offset())).SetLimit(int64(page.Size))
	documents, err := database.Documents[sessionDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.sessions().Find(ctx, own, order)
	})
	if err != nil {
		return nil, 0, err
	}
	list, err := r.counted(ctx, documents)
	return list, total, err
}

// counted returns the sessions with the figures of their exchanges.
func (r mongoRepository) counted(ctx context.Context, documents []sessionDocument) ([]session, error) {
	list := make([]session, 0, len(documents))
	if len(documents) == 0 {
		return list, nil
	}
	ids := make([]string, len(documents))
	for i, document := range documents {
		ids[i] = document.ID
	}
	sums, err := database.SumDocuments[string](ctx, r.db, database.Sums{Collection: exchangeDocuments,
		Match: bson.M{"session_id": bson.M{"$in": ids}}, By: "$session_id",
		Fields: []string{"messages", "input_tokens", "output_tokens", "estimated"}})
	if err != nil {
		return nil, err
	}
	bySession := make(map[string]map[string]int64, len(sums))
	for _, sum := range sums {
		bySession[sum.Key] = sum.Fields
	}
	for _, document := range documents {
		list = append(list, document.session(bySession[document.ID]))
	}
	return list, nil
}

func (r mongoRepository) RenameSession(ctx context.Context, s sessionTitle) error {
	return r.changeSession(ctx, ownDocument(s.UserID, s.ID), bson.M{"title": s.Title, "updated_at": s.At})
}

// changeSession sets fields of the session that matches, or is a NotFound fault.
func (r mongoRepository) changeSession(ctx context.Context, which, fields bson.M) error {
	changed, err := r.update(ctx, r.sessions(), which, fields)
	if err == nil && !changed {
		return noSuchSession()
	}
	return err
}

// DeleteSession hides the session with one update; what a crash leaves after it
// nobody sees, and FailUnfinished or EraseUser removes it.
func (r mongoRepository) DeleteSession(ctx context.Context, userID int64, id string) error {
	if err := r.changeSession(ctx, ownDocument(userID, id), bson.M{"deleted": true}); err != nil {
		return err
	}
	return r.purge(ctx, id)
}

// EraseUser hides everything with one update and then removes it.
func (r mongoRepository) EraseUser(ctx context.Context, userID int64) error {
	for {
		var marked int64
		err := r.db.Do(ctx, func(ctx context.Context) error {
			result, err := r.sessions().UpdateMany(ctx, bson.M{"user_id": userID, "deleted": false}, bson.M{"$set": bson.M{"deleted": true}})
			if err == nil {
				marked = result.MatchedCount
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := r.purgeAll(ctx, bson.M{"user_id": userID, "deleted": true}); err != nil || marked == 0 {
			return err
		}
	}
}

// purgeAll removes the marked sessions that match, a batch at a time.
func (r mongoRepository) purgeAll(ctx context.Context, which bson.M) error {
	for {
		batch, err := database.Documents[sessionDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
			return r.sessions().Find(ctx, which, options.Find().SetLimit(web.MaxPageSize))
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, document := range batch {
			if err := r.purge(ctx, document.ID); err != nil {
				return err
			}
		}
	}
}

// purge removes the exchanges of a marked session and then the session, so that
// it is found again after a crash.
func (r mongoRepository) purge(ctx context.Context, id string) error {
	err := r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.exchanges().DeleteMany(ctx, bson.M{"session_id": id})
		return err
	})
	if err != nil {
		return err
	}
	return r.delete(ctx, r.sessions(), bson.M{"_id": id})
}

func (r mongoRepository) ListMessages(ctx context.Context, userID int64, sessionID string, part messagePart) ([]message, error) {
	list := make([]message, 0, part.Limit)
	of, err := r.liveSession(ctx, userID, sessionID)
	if fault.Is(err, fault.NotFound) {
		return list, nil
	}
	if err != nil {
		return nil, err
	}
	which := bson.M{"session_id": sessionID}
	passed := part.Offset / 2 // whole exchanges that need not be read
	if part.Before > 0 {
		which["position"] = bson.M{"$lt": part.Before}
		passed = 0 // the newest may be cut in two, which only reading it tells
	}
	skip := part.Offset - 2*passed
	if passed > 0 {
		if passed, err = r.seek(ctx, of, which, passed); err != nil {
			return nil, err
		}
	}
	order := options.Find().SetSort(bson.D{{Key: "position", Value: -1}}).SetSkip(int64(passed)).
		SetLimit(int64((skip+part.Limit)/2 + 1))
	documents, err := database.Documents[exchangeDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.exchanges().Find(ctx, which, order)
	})
	if err != nil {
		return nil, err
	}
	for _, document := range documents {
		for _, m := range document.newestFirst(part.Before) {
			if skip > 0 {
				skip--
			} else if len(list) < part.Limit {
				list = append(list, m)
			}
		}
	}
	return list, nil
}

// seek narrows which to the positions below those of the newest exchanges, so
// that a page far back is found by the index, and returns how many exchanges are
// still to be passed over: one for each gap there, for so many fewer positions
// are taken. The index alone counts them.
func (r mongoRepository) seek(ctx context.Context, of sessionDocument, which bson.M, exchanges int) (int, error) {
	from := of.LastPosition - 2*int64(exchanges)
	later := bson.M{"session_id": of.ID, "position": bson.M{"$gt": from, "$lte": of.LastPosition}}
	var taken int64
	err := r.db.Do(ctx, func(ctx context.Context) (err error) {
		taken, err = r.exchanges().CountDocuments(ctx, later)
		return err
	})
	which["position"] = bson.M{"$lte": from}
	return exchanges - int(taken), err
}

// FailUnfinished also completes what a crash interrupted: it removes sessions
// that are marked, and exchanges whose session never came or has gone. The
// latter are invisible; one that may be on its way is left for the next time.
func (r mongoRepository) FailUnfinished(ctx context.Context, at time.Time, choose chooser) (int, error) {
	if err := r.purgeAll(ctx, bson.M{"deleted": true}); err != nil {
		return 0, err
	}
	open, err := database.Documents[exchangeDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		parts := options.Find().SetProjection(bson.M{"session_id": 1, "user_id": 1, "created_at": 1, "instance": 1})
		return r.exchanges().Find(ctx, bson.M{"status": statusProcessing}, parts)
	})
	if err != nil {
		return 0, err
	}
	chosen, err := choose(ctx, unfinishedOf(open))
	if err != nil {
		return 0, err
	}
	count := 0
	for _, document := range open {
		if !slices.Contains(chosen, document.ID) {
			continue
		}
		failed, err := r.failExchange(ctx, document, at)
		if err != nil {
			return count, err
		}
		if failed {
			count++
		}
	}
	return count, nil
}

func unfinishedOf(open []exchangeDocument) []unfinished {
	list := make([]unfinished, len(open))
	for i, document := range open {
		list[i] = unfinished{ID: document.ID, Instance: document.Instance, CreatedAt: document.CreatedAt}
	}
	return list
}

// beginGrace is longer than BeginExchange can take, clocks that differ included.
const beginGrace = time.Minute

func (r mongoRepository) failExchange(ctx context.Context, open exchangeDocument, at time.Time) (bool, error) {
	which := bson.M{"_id": open.ID, "status": statusProcessing}
	_, err := r.liveSession(ctx, open.UserID, open.SessionID)
	switch {
	case fault.Is(err, fault.NotFound) && at.Sub(open.CreatedAt) > beginGrace:
		return false, r.delete(ctx, r.exchanges(), which)
	case fault.Is(err, fault.NotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	return r.update(ctx, r.exchanges(), which, bson.M{"status": statusFailed, "error_code": codeInterrupted,
		"error_detail": detailInterrupted, "finished_at": at})
}
