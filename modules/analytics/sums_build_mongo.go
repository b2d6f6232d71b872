package analytics

import (
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

const (
	// buildBatch is the id of the batch whose process alone makes sums from hours.
	buildBatch = "build-sums"
	// buildPause is how long a process waits that is not the one.
	buildPause = 200 * time.Millisecond
	// buildRenewal is the age at which the batch is renewed, and buildRead how long
	// one operation may take between two renewals: together less than batchLease.
	buildRenewal = 10 * time.Second
	buildRead    = 30 * time.Second
)

// RebuildMonth makes the longer sums of a month again; see checked. Nobody may
// add to its hours meanwhile.
func (r *mongoRepository) RebuildMonth(ctx context.Context, month time.Time) error {
	return r.buildAlone(ctx, func(ctx context.Context, b *build) error { return b.month(ctx, month) })
}

// rebuildAll makes the longer sums of all months again.
func (r *mongoRepository) rebuildAll(ctx context.Context) error {
	return r.buildAlone(ctx, func(ctx context.Context, b *build) error { return b.all(ctx, time.Time{}) })
}

// buildAlone runs make while no other process builds, after the batches that were
// under way.
func (r *mongoRepository) buildAlone(ctx context.Context, do func(context.Context, *build) error) error {
	b := &build{mongoRepository: r, batch: batchDocument{ID: buildBatch, Events: []string{}}}
	if err := b.begin(ctx); err != nil {
		return err
	}
	err := b.settle(ctx)
	if err == nil {
		err = do(database.AllowDocuments(ctx, buildRead), b)
	}
	if ended := b.end(context.WithoutCancel(ctx)); err == nil {
		err = ended
	}
	return err
}

// build is the making of sums by the one process that may. It holds a batch that
// it renews: when it was too slow for that, another one is at it, and it stops.
type build struct {
	*mongoRepository
	batch batchDocument
}

// begin waits until no other process builds.
func (b *build) begin(ctx context.Context) error {
	for {
		b.batch.At = b.now().UTC().Truncate(time.Millisecond)
		err := b.insertBatch(ctx, b.batch)
		if !database.IsDuplicate(err) {
			return err
		}
		if err := b.recover(ctx); err != nil { // also takes away what a process left that ended
			return err
		}
		if err := pause(ctx, buildPause); err != nil {
			return err
		}
	}
}

// settle waits until no batch is under way. One that its process left is completed
// when its lease ends.
func (b *build) settle(ctx context.Context) error {
	for deadline := time.Now().Add(2 * batchLease); ; {
		if err := b.recover(ctx); err != nil {
			return err
		}
		var open int64
		err := b.db.Do(ctx, func(ctx context.Context) (err error) {
			open, err = b.batches().CountDocuments(ctx, bson.M{"_id": bson.M{"$ne": buildBatch}})
			return err
		})
		if err != nil || open == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fault.New(fault.Unavailable, "documents_unavailable", "Usage events are still being added to the sums. Try again in a minute.")
		}
		if err := b.renew(ctx); err != nil {
			return err
		}
		if err := pause(ctx, buildPause); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(length):
		return nil
	}
}

// renew fails when another process took the batch over.
func (b *build) renew(ctx context.Context) error {
	now := b.now().UTC().Truncate(time.Millisecond)
	if now.Sub(b.batch.At) < buildRenewal {
		return nil
	}
	if err := b.changeBatch(ctx, b.batch, bson.M{"at": now}); err != nil {
		return err
	}
	b.batch.At = now
	return nil
}

func (b *build) end(ctx context.Context) error {
	return b.db.Do(ctx, func(ctx context.Context) error {
		_, err := b.batches().DeleteOne(ctx, bson.M{"_id": b.batch.ID, "at": b.batch.At})
		return err
	})
}

// all makes the sums of every month that has hours and is not before a time, one
// after the other, and notes that they are complete.
func (b *build) all(ctx context.Context, from time.Time) error {
	for {
		hour, found, err := b.firstHour(ctx, bson.M{"hour": bson.M{"$gte": from.Unix()}})
		if err != nil {
			return err
		}
		if err := b.renew(ctx); err != nil {
			return err
		}
		if !found {
			return b.setSumsState(ctx, bson.M{"complete": true})
		}
		month := BucketMonth.start(hour)
		if err := b.month(ctx, month); err != nil {
			return err
		}
		from = BucketMonth.next(month)
		if err := b.setSumsState(ctx, bson.M{"before": from.Unix()}); err != nil {
			return err
		}
	}
}

// days lists the days in a period that have hours.
func (b *build) days(ctx context.Context, period Period) ([]time.Time, error) {
	type day struct {
		Start int64 `bson:"_id"`
	}
	if err := b.renew(ctx); err != nil {
		return nil, err
	}
	found, err := database.Documents[day](ctx, b.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return b.hours().Aggregate(ctx, bson.A{
			bson.M{"$match": bson.M{"hour": bson.M{"$gte": period.From.Unix(), "$lt": period.To.Unix()}}},
			bson.M{"$group": bson.M{"_id": "$day"}},
		})
	})
	days := make([]time.Time, len(found))
	for i, one := range found {
		days[i] = time.Unix(one.Start, 0).UTC()
	}
	slices.SortFunc(days, time.Time.Compare)
	return days, err
}

// month makes what is derived from the hours of a month. What it had is removed
// first, so that one that was interrupted can be made again.
func (b *build) month(ctx context.Context, month time.Time) error {
	period := Period{month, BucketMonth.next(month)}
	for _, collection := range []string{everyoneDocuments, userDocuments, rankDocuments} {
		if err := b.renew(ctx); err != nil {
			return err
		}
		err := b.db.Do(ctx, func(ctx context.Context) error {
			_, err := b.db.Collection(collection).DeleteMany(ctx, longerSumsOf(period))
			return err
		})
		if err != nil {
			return err
		}
	}
	days, err := b.days(ctx, period)
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := b.day(ctx, day); err != nil {
			return err
		}
	}
	return nil
}

// longerSumsOf selects what is derived from the hours of whole months.
func longerSumsOf(period Period) bson.M {
	return bson.M{"grain": bson.M{"$in": bson.A{int64(grainHour), int64(grainDay), int64(grainMonth)}},
		"start": bson.M{"$gte": period.From.Unix(), "$lt": period.To.Unix()}}
}

func (b *build) day(ctx context.Context, day time.Time) error {
	if err := b.renew(ctx); err != nil {
		return err
	}
	documents, err := database.Documents[hourDocument](ctx, b.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return b.hours().Find(ctx, bson.M{"hour": bson.M{"$gte": day.Unix(), "$lt": BucketDay.next(day).Unix()}})
	})
	if err != nil {
		return err
	}
	var hours []hourRow
	var latencies []latencyRow
	for _, document := range documents {
		hour, buckets := document.row()
		if hour.Figures == (Figures{}) { // all of it was moved to ErasedUser
			continue
		}
		hours = append(hours, hour)
		for _, bucket := range buckets {
			latencies = append(latencies, latencyRow{hour.Key, int(bucket[0]), bucket[1]})
		}
	}
	return eachBulk(derivedChanges(hours, latencies), func(part []sumChange) error {
		if err := b.renew(ctx); err != nil {
			return err
		}
		return b.write(ctx, part, func(change *sumChange, model *mongo.UpdateOneModel) { model.SetUpdate(change.alone()).SetUpsert(true) })
	})
}
