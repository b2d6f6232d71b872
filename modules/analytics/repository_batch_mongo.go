package analytics

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

// batchDocument is a change of many hours, and of all that is derived from them,
// that is made exactly once:
//
//  1. The batch is inserted with the ids of its events, then the events. An
//     event belongs to the batch it names, so one that two batches tried to store
//     is in one of them.
//  2. What is to be added to which hour is written into the batch. What is to be
//     added to everything else follows from it; see changesOf.
//  3. Each document is changed by one update that also notes the batch in it.
//  4. The batch is marked as added, its notes are taken out of the documents, and
//     it is removed.
//
// A batch belongs to the process that inserted it for batchLease after At; that
// process gives up on it long before. Then another one can take it over, with
// one conditional update of At, and goes on where it stands: before step 2 it
// counts the events that name the batch; in step 3 it passes over what has its
// note; after it was marked nothing is added any more. Later operations
// of the first process find another At and do nothing.
type batchDocument struct {
	ID     string          `bson:"_id"`
	At     time.Time       `bson:"at"`
	Events []string        `bson:"events"`
	Deltas []deltaDocument `bson:"deltas"`
	Added  bool            `bson:"added"`
}

// batchLease is longer than a process works on a batch, which is at most
// appendTimeout and rollTime, and clocks may differ by the rest.
const batchLease = time.Minute

// stored returns a time as documents hold it.
func stored(at time.Time) time.Time { return at.UTC().Truncate(time.Millisecond) }

func (r *mongoRepository) insertBatch(ctx context.Context, batch batchDocument) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.batches().InsertOne(ctx, batch)
		return err
	})
}

// roll does the steps of a new batch from the second on.
func (r *mongoRepository) roll(ctx context.Context, batch batchDocument, deltas []deltaDocument) error {
	batch.Deltas = deltas
	if len(deltas) > 0 {
		if err := r.changeBatch(ctx, batch, bson.M{"deltas": deltas}); err != nil {
			return err
		}
		if err := r.addAtOnce(ctx, batch.ID, changesOf(deltas)); err != nil {
			return err
		}
	}
	return r.finish(ctx, batch)
}

// changeBatch sets fields of a batch that is still this process's.
func (r *mongoRepository) changeBatch(ctx context.Context, batch batchDocument, fields bson.M) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		result, err := r.batches().UpdateOne(ctx, bson.M{"_id": batch.ID, "at": batch.At}, bson.M{"$set": fields})
		if err == nil && result.MatchedCount == 0 {
			err = fault.New(fault.Unavailable, "documents_unavailable", "Another process took over what this one was too slow for.")
		}
		return err
	})
}

// bulkSize is how many documents one operation changes. FerretDB 1 holds a
// connection to its own database for each and stands still when there are no more.
const bulkSize = 40

// addAtOnce adds changes of which nothing can have been added yet.
func (r *mongoRepository) addAtOnce(ctx context.Context, batch string, changes []sumChange) error {
	err := eachBulk(changes, func(part []sumChange) error {
		return r.write(ctx, part, func(change *sumChange, model *mongo.UpdateOneModel) {
			model.SetUpdate(change.update(batch)).SetUpsert(true)
		})
	})
	if _, raced := duplicates(err); raced { // another process inserted the same document at the same time
		return r.addAgain(ctx, batch, changes)
	}
	return err
}

// eachBulk visits the changes in parts of one collection that one operation can
// make.
func eachBulk(changes []sumChange, visit func(part []sumChange) error) error {
	for len(changes) > 0 {
		end := 1
		for end < min(len(changes), bulkSize) && changes[end].collection == changes[0].collection {
			end++
		}
		if err := visit(changes[:end]); err != nil {
			return err
		}
		changes = changes[end:]
	}
	return nil
}

// write makes one update of each document of a part.
func (r *mongoRepository) write(ctx context.Context, part []sumChange, describe func(*sumChange, *mongo.UpdateOneModel)) error {
	models := make([]mongo.WriteModel, len(part))
	for i := range part {
		model := mongo.NewUpdateOneModel().SetFilter(bson.M{"_id": part[i].id})
		describe(&part[i], model)
		models[i] = model
	}
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.db.Collection(part[0].collection).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
		return err
	})
}

// addAgain adds changes of which a part may have been added.
func (r *mongoRepository) addAgain(ctx context.Context, batch string, changes []sumChange) error {
	if r.byID {
		return r.addByID(ctx, batch, changes)
	}
	return eachBulk(changes, func(part []sumChange) error {
		conditionally := func(upsert bool) func(*sumChange, *mongo.UpdateOneModel) {
			return func(change *sumChange, model *mongo.UpdateOneModel) {
				model.SetFilter(change.without(batch)).SetUpdate(change.update(batch)).SetUpsert(upsert)
			}
		}
		if err := r.write(ctx, part, conditionally(false)); err != nil {
			return err
		}
		missing, err := r.missing(ctx, batch, part)
		if err != nil || len(missing) == 0 {
			return err
		}
		err = r.write(ctx, missing, conditionally(true))
		if _, raced := duplicates(err); raced {
			return r.addEach(ctx, batch, missing)
		}
		return err
	})
}

// addByID is addAgain for a server on which the condition of an update would cost a
// look at every document. That nobody makes a change between the look and the
// update is then up to the lease of the batch alone.
func (r *mongoRepository) addByID(ctx context.Context, batch string, changes []sumChange) error {
	for i := range changes {
		change := &changes[i]
		var found struct {
			Batches []string `bson:"batches"`
		}
		which := bson.M{"_id": change.id}
		err := r.db.Do(ctx, func(ctx context.Context) error {
			return r.db.Collection(change.collection).FindOne(ctx, which).Decode(&found)
		})
		if err != nil && !database.IsNotFound(err) {
			return err
		}
		if slices.Contains(found.Batches, batch) {
			continue
		}
		err = r.db.Do(ctx, func(ctx context.Context) error {
			_, err := r.db.Collection(change.collection).UpdateOne(ctx, which, change.update(batch), options.UpdateOne().SetUpsert(true))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// missing returns the changes of a part that their documents have no note of.
func (r *mongoRepository) missing(ctx context.Context, batch string, part []sumChange) ([]sumChange, error) {
	ids := make([]string, len(part))
	for i := range part {
		ids[i] = part[i].id
	}
	noted, err := database.Documents[identified](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		which := bson.M{"_id": bson.M{"$in": ids}}
		if part[0].noted {
			which["batches"] = batch
		}
		return r.db.Collection(part[0].collection).Find(ctx, which, options.Find().SetProjection(bson.M{"_id": 1}))
	})
	made := make(map[string]bool, len(noted))
	for _, one := range noted {
		made[one.ID] = true
	}
	var missing []sumChange
	for _, change := range part {
		if !made[change.id] {
			missing = append(missing, change)
		}
	}
	return missing, err
}

// addEach is addAgain one by one.
func (r *mongoRepository) addEach(ctx context.Context, batch string, changes []sumChange) error {
	for i := range changes {
		change := &changes[i]
		err := r.addOne(ctx, batch, change, true)
		if database.IsDuplicate(err) { // it exists: with the note, or since a moment ago without it
			err = r.addOne(ctx, batch, change, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *mongoRepository) addOne(ctx context.Context, batch string, change *sumChange, upsert bool) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.db.Collection(change.collection).UpdateOne(ctx, change.without(batch), change.update(batch), options.UpdateOne().SetUpsert(upsert))
		return err
	})
}

// finish does the last step. Only when the mark is set may the notes go.
func (r *mongoRepository) finish(ctx context.Context, batch batchDocument) error {
	if len(batch.Deltas) > 0 {
		if !batch.Added {
			if err := r.changeBatch(ctx, batch, bson.M{"added": true}); err != nil {
				return err
			}
		}
		if err := r.removeNotes(ctx, batch); err != nil {
			return err
		}
	}
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.batches().DeleteOne(ctx, bson.M{"_id": batch.ID, "at": batch.At})
		return err
	})
}

func (r *mongoRepository) removeNotes(ctx context.Context, batch batchDocument) error {
	noted := slices.DeleteFunc(changesOf(batch.Deltas), func(change sumChange) bool { return !change.noted })
	return eachBulk(noted, func(part []sumChange) error {
		return r.write(ctx, part, func(_ *sumChange, model *mongo.UpdateOneModel) {
			model.SetUpdate(bson.M{"$pull": bson.M{"batches": batch.ID}})
		})
	})
}
