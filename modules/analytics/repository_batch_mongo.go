package analytics

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// batchDocument is a change of many hours that is made exactly once:
//
//  1. The batch is inserted with the ids of its events, then the events. An
//     event belongs to the batch it names, so one that two batches tried to store
//     is in one of them.
//  2. What is to be added to which hour is written into the batch.
//  3. Each hour is changed by one update that also notes the batch in it.
//  4. The batch is marked as added, its notes are taken out of the hours, and it
//     is removed.
//
// A batch belongs to the process that inserted it for batchLease after At; that
// process gives up on it long before. Then another one can take it over, with
// one conditional update of At, and goes on where it stands: before step 2 it
// counts the events that name the batch; in step 3 it passes over the hours that
// have its note; after it was marked nothing is added any more. Later operations
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

// deltaDocument is what is added to one hour. Fields are those of the hour's
// document, latency buckets included.
type deltaDocument struct {
	Hour     int64            `bson:"hour"`
	UserID   int64            `bson:"user_id"`
	Service  string           `bson:"service"`
	Provider string           `bson:"provider"`
	Model    string           `bson:"model"`
	Fields   map[string]int64 `bson:"fields"`
	FirstMS  int64            `bson:"first_ms"` // 0 = leaves the hour's as they are
	LastMS   int64            `bson:"last_ms"`
}

// figureFields are the fields of an hour's document that hold Figures.
var figureFields = []struct {
	name string
	of   func(*Figures) *int64
}{
	{"requests", func(f *Figures) *int64 { return &f.Requests }},
	{"failed", func(f *Figures) *int64 { return &f.Failed }},
	{"input_tokens", func(f *Figures) *int64 { return &f.InputTokens }},
	{"output_tokens", func(f *Figures) *int64 { return &f.OutputTokens }},
	{"input_bytes", func(f *Figures) *int64 { return &f.InputBytes }},
	{"output_bytes", func(f *Figures) *int64 { return &f.OutputBytes }},
	{"cost_nano_usd", func(f *Figures) *int64 { return &f.CostNanoUSD }},
	{"latency_sum_ms", func(f *Figures) *int64 { return &f.LatencySumMS }},
	{"latency_count", func(f *Figures) *int64 { return &f.LatencyCount }},
	{"ttft_sum_ms", func(f *Figures) *int64 { return &f.TTFTSumMS }},
	{"ttft_count", func(f *Figures) *int64 { return &f.TTFTCount }},
}

// bucketField names the field of a latency bucket.
func bucketField(bucket int) string { return fmt.Sprintf("latency_%d", bucket) }

// deltasOf sums events, of which each has another id, by hour.
func deltasOf(events []Event) []deltaDocument {
	stored := make(map[string]bool, len(events))
	for i := range events {
		stored[events[i].ID] = true
	}
	hours, latencies := rollUp(events, stored)
	list := make([]deltaDocument, len(hours))
	index := make(map[rollupKey]int, len(hours))
	for i, row := range hours {
		fields := map[string]int64{}
		for _, field := range figureFields {
			if n := *field.of(&row.Figures); n != 0 {
				fields[field.name] = n
			}
		}
		list[i] = newDelta(row.Key, fields)
		list[i].FirstMS, list[i].LastMS = row.FirstMS, row.LastMS
		index[row.Key] = i
	}
	for _, row := range latencies {
		list[index[row.Key]].Fields[bucketField(row.Bucket)] = row.Requests
	}
	return list
}

func newDelta(key rollupKey, fields map[string]int64) deltaDocument {
	return deltaDocument{Hour: key.Hour, UserID: key.UserID, Service: key.Service, Provider: key.Provider, Model: key.Model, Fields: fields}
}

// id returns the _id of the hour's document. JSON keeps any two keys apart,
// whatever is in their texts.
func (d *deltaDocument) id() string {
	text, err := json.Marshal([]any{d.Hour, d.UserID, d.Service, d.Provider, d.Model})
	if err != nil { // numbers and strings always have JSON
		panic(err)
	}
	return string(text)
}

// change returns the update that adds d and notes the batch.
func (d *deltaDocument) change(batch string) bson.M {
	change := bson.M{
		"$inc":  d.Fields,
		"$push": bson.M{"batches": batch},
		"$setOnInsert": bson.M{"hour": d.Hour, "day": d.Hour - d.Hour%86400, "user_id": d.UserID,
			"service": d.Service, "provider": d.Provider, "model": d.Model},
	}
	if d.FirstMS != 0 {
		change["$min"], change["$max"] = bson.M{"first_ms": d.FirstMS}, bson.M{"last_ms": d.LastMS}
	}
	return change
}

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
		if err := r.addAtOnce(ctx, batch); err != nil {
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

// bulkSize is how many hours one operation changes. FerretDB 1 holds a connection
// to its own database for each and stands still when there are no more.
const bulkSize = 40

// addAtOnce adds a batch of which nothing can have been added yet.
func (r *mongoRepository) addAtOnce(ctx context.Context, batch batchDocument) error {
	err := r.changeHours(ctx, batch, func(delta *deltaDocument, change *mongo.UpdateOneModel) {
		change.SetUpdate(delta.change(batch.ID)).SetUpsert(true)
	})
	if _, raced := duplicates(err); raced { // another process inserted the same hour at the same time
		return r.addEach(ctx, batch)
	}
	return err
}

// changeHours changes the hours of a batch, a part at a time.
func (r *mongoRepository) changeHours(ctx context.Context, batch batchDocument, describe func(*deltaDocument, *mongo.UpdateOneModel)) error {
	for part := range slices.Chunk(batch.Deltas, bulkSize) {
		models := make([]mongo.WriteModel, len(part))
		for i := range part {
			change := mongo.NewUpdateOneModel().SetFilter(bson.M{"_id": part[i].id()})
			describe(&part[i], change)
			models[i] = change
		}
		err := r.db.Do(ctx, func(ctx context.Context) error {
			_, err := r.hours().BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addEach adds a batch of which a part may have been added.
func (r *mongoRepository) addEach(ctx context.Context, batch batchDocument) error {
	for i := range batch.Deltas {
		delta := &batch.Deltas[i]
		without := bson.M{"_id": delta.id(), "batches": bson.M{"$ne": batch.ID}}
		err := r.db.Do(ctx, func(ctx context.Context) error {
			_, err := r.hours().UpdateOne(ctx, without, delta.change(batch.ID), options.UpdateOne().SetUpsert(true))
			return err
		})
		if err == nil {
			continue
		}
		if !database.IsDuplicate(err) {
			return err
		}
		// The hour exists: with the note, or since a moment ago without it.
		err = r.db.Do(ctx, func(ctx context.Context) error {
			_, err := r.hours().UpdateOne(ctx, without, delta.change(batch.ID))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// finish does the last step. Only when the mark is set may the notes go.
func (r *mongoRepository) finish(ctx context.Context, batch batchDocument) error {
	if len(batch.Deltas) > 0 {
		if !batch.Added {
			if err := r.changeBatch(ctx, batch, bson.M{"added": true}); err != nil {
				return err
			}
		}
		err := r.changeHours(ctx, batch, func(_ *deltaDocument, change *mongo.UpdateOneModel) {
			change.SetUpdate(bson.M{"$pull": bson.M{"batches": batch.ID}})
		})
		if err != nil {
			return err
		}
	}
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.batches().DeleteOne(ctx, bson.M{"_id": batch.ID, "at": batch.At})
		return err
	})
}

// recover completes the batches that their processes left.
func (r *mongoRepository) recover(ctx context.Context) error {
	left, err := database.Documents[batchDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetProjection(bson.M{"at": 1}).SetLimit(100)
		return r.batches().Find(ctx, bson.M{"at": bson.M{"$lt": r.now().Add(-batchLease).UTC()}}, how)
	})
	if err != nil {
		return err
	}
	for _, batch := range left {
		if err := r.takeOver(ctx, batch); err != nil && !database.IsNotFound(err) { // another process was first
			return err
		}
	}
	return nil
}

func (r *mongoRepository) takeOver(ctx context.Context, left batchDocument) error {
	var batch batchDocument
	err := r.db.Do(ctx, func(ctx context.Context) error {
		mine := bson.M{"$set": bson.M{"at": r.now().UTC().Truncate(time.Millisecond)}}
		return r.batches().FindOneAndUpdate(ctx, bson.M{"_id": left.ID, "at": left.At}, mine,
			options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(&batch)
	})
	if err != nil {
		return err
	}
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
		if err := r.addEach(ctx, batch); err != nil {
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
