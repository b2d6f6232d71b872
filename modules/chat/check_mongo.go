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
)

func (r mongoRepository) ListFigures(ctx context.Context, after string, limit int) ([]figures, error) {
	documents, err := database.Documents[sessionDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit))
		return r.sessions().Find(ctx, bson.M{"_id": bson.M{"$gt": after}}, how)
	})
	list := make([]figures, 0, len(documents))
	for _, document := range documents {
		one, err := r.figuresOf(ctx, document)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, err
}

// figuresOf has the same figures on both sides: a session stores none. Its
// newest position is read before the session is, again, so that an exchange
// that begins in between makes no difference.
func (r mongoRepository) figuresOf(ctx context.Context, document sessionDocument) (figures, error) {
	one := figures{ID: document.ID, UserID: document.UserID, CreatedAt: document.CreatedAt.UTC(), LastPosition: document.LastPosition, Whole: true}
	newest, err := database.Documents[exchangeDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "position", Value: -1}}).SetLimit(1).SetProjection(bson.M{"position": 1})
		return r.exchanges().Find(ctx, bson.M{"session_id": document.ID}, how)
	})
	if err != nil || len(newest) == 0 {
		return one, err
	}
	one.Newest = newest[0].Position + 1
	one.Counted.Messages = one.LastPosition // gaps are allowed, so that it is only a size
	one.Stored.Messages = one.Counted.Messages
	return one, nil
}

func (r mongoRepository) FindFigures(ctx context.Context, id string) (figures, error) {
	var before, after sessionDocument
	find := func(into *sessionDocument) error {
		return sessionFault(r.db.Do(ctx, func(ctx context.Context) error {
			return r.sessions().FindOne(ctx, bson.M{"_id": id}).Decode(into)
		}))
	}
	if err := find(&before); err != nil {
		return figures{}, err
	}
	one, err := r.figuresOf(ctx, before)
	if err != nil {
		return figures{}, err
	}
	if err := find(&after); err != nil {
		return figures{}, err
	}
	one.LastPosition = after.LastPosition // taken before an exchange is stored
	return one, nil
}

func (r mongoRepository) Recount(ctx context.Context, id string) error {
	one, err := r.FindFigures(ctx, id)
	if err != nil {
		return err
	}
	_, err = r.update(ctx, r.sessions(), bson.M{"_id": id, "last_position": bson.M{"$lt": one.Newest}}, bson.M{"last_position": one.Newest})
	return err
}

func (r mongoRepository) ListOpen(ctx context.Context, before time.Time, after string, limit int) ([]loose, error) {
	documents, err := r.exchangesAfter(ctx, bson.M{"status": statusProcessing, "_id": bson.M{"$gt": after}}, limit)
	if err != nil || len(documents) == 0 {
		return nil, err
	}
	strays, err := r.straysOf(ctx, documents)
	if err != nil {
		return nil, err
	}
	list := []loose{}
	for _, document := range documents {
		if !slices.ContainsFunc(strays, func(stray loose) bool { return stray.ID == document.ID }) { // which are listed as such
			list = append(list, document.loose())
		}
	}
	return older(list, before), nil
}

// older leaves out what is not before the time. Ids are in the order of time,
// so that nothing old comes after the first page of the young.
func older(list []loose, before time.Time) []loose {
	kept := list[:0]
	for _, one := range list {
		if one.CreatedAt.Before(before) {
			kept = append(kept, one)
		}
	}
	return kept
}

func (r mongoRepository) exchangesAfter(ctx context.Context, which bson.M, limit int) ([]exchangeDocument, error) {
	return database.Documents[exchangeDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)).
			SetProjection(bson.M{"session_id": 1, "user_id": 1, "status": 1, "created_at": 1})
		return r.exchanges().Find(ctx, which, how)
	})
}

func (d exchangeDocument) loose() loose {
	return loose{ID: d.ID, UserID: d.UserID, CreatedAt: d.CreatedAt.UTC(), Begun: d.Status == statusProcessing}
}

func (r mongoRepository) FailAnswer(ctx context.Context, id string, at time.Time) error {
	_, err := r.update(ctx, r.exchanges(), bson.M{"_id": id, "status": statusProcessing},
		bson.M{"status": statusFailed, "error_code": codeInterrupted, "error_detail": detailInterrupted, "finished_at": at})
	return err
}

func (r mongoRepository) ListStray(ctx context.Context, before time.Time, after string, limit int) ([]loose, error) {
	for {
		page, err := r.exchangesAfter(ctx, bson.M{"_id": bson.M{"$gt": after}}, limit)
		if err != nil || len(page) == 0 {
			return nil, err
		}
		after = page[len(page)-1].ID
		strays, err := r.straysOf(ctx, page)
		if err != nil {
			return nil, err
		}
		if strays = older(strays, before); len(strays) > 0 {
			return strays, nil
		}
	}
}

// straysOf returns those whose session is not there.
func (r mongoRepository) straysOf(ctx context.Context, page []exchangeDocument) ([]loose, error) {
	ids := bson.A{}
	for _, document := range page {
		ids = append(ids, document.SessionID)
	}
	sessions, err := database.Documents[sessionDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.sessions().Find(ctx, bson.M{"_id": bson.M{"$in": ids}}, options.Find().SetProjection(bson.M{"_id": 1}))
	})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, one := range sessions {
		known[one.ID] = true
	}
	list := []loose{}
	for _, document := range page {
		if known[document.SessionID] {
			continue
		}
		err := r.db.Do(ctx, func(ctx context.Context) error { return r.exchanges().FindOne(ctx, bson.M{"_id": document.ID}).Err() })
		if database.IsNotFound(err) {
			continue // its session was deleted, and it went first
		}
		if err != nil {
			return nil, err
		}
		list = append(list, document.loose())
	}
	return list, nil
}

func (r mongoRepository) DeleteStray(ctx context.Context, id string) error {
	return r.delete(ctx, r.exchanges(), bson.M{"_id": id})
}

func (r mongoRepository) ListHidden(ctx context.Context, limit int) ([]string, error) {
	documents, err := database.Documents[sessionDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.sessions().Find(ctx, bson.M{"deleted": true}, options.Find().SetLimit(int64(limit)).SetProjection(bson.M{"_id": 1}))
	})
	ids := make([]string, len(documents))
	for i, document := range documents {
		ids[i] = document.ID
	}
	return ids, err
}

func (r mongoRepository) FinishDeletion(ctx context.Context, id string) error {
	err := r.purge(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
