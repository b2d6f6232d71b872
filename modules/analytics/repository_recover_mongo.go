package analytics

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

// recover completes the batches that their processes left.
func (r *mongoRepository) recover(ctx context.Context) error {
	return r.recoverAfter(ctx, func(context.Context) error { return nil })
}

// recoverAfter is recover that calls first before each batch. That of a build is
// left to whoever builds next.
func (r *mongoRepository) recoverAfter(ctx context.Context, first func(context.Context) error) error {
	left, err := database.Documents[batchDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetProjection(bson.M{"at": 1}).SetLimit(100)
		which := bson.M{"_id": bson.M{"$ne": buildBatch}, "at": bson.M{"$lt": r.now().Add(-batchLease).UTC()}}
		return r.batches().Find(ctx, which, how)
	})
	if err != nil {
		return err
	}
	for _, batch := range left {
		if err := first(ctx); err != nil {
			return err
		}
		if err := r.takeOver(ctx, batch); err != nil && !database.IsNotFound(err) { // another process was first
			return err
		}
	}
	return nil
}

func (r *mongoRepository) takeOver(ctx context.Context, left batchDocument) error {
	var batch batchDocument
	err := r.db.Do(ctx, func(ctx context.Context) error {
		mine := bson.M{"$set": bson.M{"at": stored(r.now())}}
		return r.batches().FindOneAndUpdate(ctx, bson.M{"_id": left.ID, "at": left.At}, mine,
			options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&batch)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollTime) // nobody else can finish it for a while
	defer cancel()
	if len(batch.Deltas) == 0 {
		if batch.Deltas, err = r.countBatch(ctx, batch); err != nil {
			return err
		}
		if len(batch.Deltas) > 0 {
			if err := r.changeBatch(ctx, batch, bson.M{"deltas": batch.Deltas}); err != nil {
				return err
			}
		}
	}
	if !batch.Added {
		if err := r.addAgain(ctx, batch.ID, changesOf(batch.Deltas)); err != nil {
			return err
		}
	}
	return r.finish(ctx, batch)
}

// countBatch sums the events that the batch stored.
func (r *mongoRepository) countBatch(ctx context.Context, batch batchDocument) ([]deltaDocument, error) {
	if len(batch.Events) == 0 {
		return nil, nil
	}
	documents, err := database.Documents[eventDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.events().Find(ctx, bson.M{"_id": bson.M{"$in": batch.Events}, "batch": batch.ID})
	})
	events := make([]Event, len(documents))
	for i := range documents {
		events[i] = documents[i].event()
	}
	return deltasOf(events), err
}
