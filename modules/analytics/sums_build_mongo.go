package analytics

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

const (
	// buildBatch is the id of the batch whose process alone makes sums from hours.
	buildBatch = "build-sums"
	// buildPause is how long a process waits that is not the one.
	buildPause = 200 * time.Millisecond
)

// buildLimits bound the making of sums. Renewal and read together are less than
// lease: when the lease of a process that hangs is over, its last write is too.
type buildLimits struct {
	lease   time.Duration // how long others see the batch unchanged before they take it over
	renewal time.Duration // the age at which the batch is renewed
	read    time.Duration // of one operation
	page    int32         // how many hours are read and added at a time
}

func usualBuild() buildLimits {
	return buildLimits{lease: batchLease, renewal: 10 * time.Second, read: 30 * time.Second, page: 2000}
}

// RebuildMonth makes the longer sums of a month again; see checked. Nobody may
// add to its hours meanwhile.
func (r *mongoRepository) RebuildMonth(ctx context.Context, month time.Time) error {
	return r.buildAlone(ctx, needed, func(ctx context.Context, b *build) error { return b.month(ctx, month) })
}

// rebuildAll makes the longer sums of all months again.
func (r *mongoRepository) rebuildAll(ctx context.Context) error {
	return r.buildAlone(ctx, needed, func(ctx context.Context, b *build) error { return b.all(ctx, time.Time{}) })
}

func needed(context.Context) (needless bool, err error) { return false, nil }

// buildAlone runs do while no other process builds, after the batches that were
// under way; not at all when it was needless before its turn came.
func (r *mongoRepository) buildAlone(ctx context.Context, needless func(context.Context) (bool, error), do func(context.Context, *build) error) error {
	b := &build{mongoRepository: r, batch: batchDocument{ID: buildBatch}}
	done, err := b.begin(ctx, needless)
	if err == nil && !done {
		err = b.settle(ctx)
	}
	if err == nil && !done {
		err = do(database.AllowDocuments(ctx, r.limits.read), b)
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
	batch   batchDocument
	renewed time.Time // by the clock that only goes forward; zero while the batch is not held
	other   time.Time // At of another process's batch
	since   time.Time // when other was seen first
}

// begin waits until no other process builds, or until needless reports that there
// is nothing to do any more.
func (b *build) begin(ctx context.Context, needless func(context.Context) (bool, error)) (done bool, err error) {
	for waits := false; ; waits = true {
		held, err := b.claim(ctx)
		if err != nil {
			return false, err
		}
		done, err := needless(ctx)
		if err != nil || done || held {
			return done, err
		}
		if !waits {
			b.db.Logger().InfoContext(ctx, "another server makes sums of usage; waits for it")
		}
		if err := pause(ctx, buildPause); err != nil {
			return false, err
		}
	}
}

// claim reports whether the batch is this process's from now on: there was none, or
// its process has left it. That it has is seen by watching it for the lease, for
// clocks may differ or be set.
func (b *build) claim(ctx context.Context) (held bool, err error) {
	now := b.now()
	batch := batchDocument{ID: buildBatch, At: stored(now), Events: []string{}}
	err = b.insertBatch(ctx, batch)
	if database.IsDuplicate(err) {
		held, err = b.claimLeft(ctx, &batch)
	} else {
		held = err == nil
	}
	if held {
		b.batch, b.renewed = batch, now
	}
	return held, err
}

func (b *build) claimLeft(ctx context.Context, batch *batchDocument) (held bool, err error) {
	var left batchDocument
	err = b.db.Do(ctx, func(ctx context.Context) error {
		return b.batches().FindOne(ctx, bson.M{"_id": buildBatch}).Decode(&left)
	})
	if database.IsNotFound(err) { // it ended meanwhile
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if b.since.IsZero() || !left.At.Equal(b.other) {
		b.other, b.since = left.At, time.Now()
	}
	if time.Since(b.since) < b.limits.lease {
		return false, nil
	}
	batch.At = unlike(batch.At, left.At)
	err = b.db.Do(ctx, func(ctx context.Context) error {
		result, err := b.batches().UpdateOne(ctx, bson.M{"_id": buildBatch, "at": left.At}, bson.M{"$set": bson.M{"at": batch.At}})
		held = err == nil && result.MatchedCount > 0
		return err
	})
	return held, err
}

// unlike returns the time, or one a moment later: by which two holders of a batch, or
// its renewals, are told apart.
func unlike(at, other time.Time) time.Time {
	if at.Equal(other) {
		return at.Add(time.Millisecond)
	}
	return at
}

// settle waits until no batch is under way. One that its process left is completed
// when its lease ends.
func (b *build) settle(ctx context.Context) error {
	for deadline := time.Now().Add(2 * batchLease); ; {
		if err := b.recoverAfter(ctx, b.renew); err != nil {
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

// renew proves that the batch is held, unless it did a moment ago.
func (b *build) renew(ctx context.Context) error {
	if b.now().Sub(b.renewed) < b.limits.renewal {
		return nil
	}
	return b.prove(ctx)
}

// prove renews the batch. It fails when another process took it over.
func (b *build) prove(ctx context.Context) error {
	now := b.now()
	at := unlike(stored(now), b.batch.At)
	if err := b.changeBatch(ctx, b.batch, bson.M{"at": at}); err != nil {
		return err
	}
	b.batch.At, b.renewed = at, now
	return nil
}

func (b *build) end(ctx context.Context) error {
	if b.renewed.IsZero() {
		return nil
	}
	return b.db.Do(ctx, func(ctx context.Context) error {
		_, err := b.batches().DeleteOne(ctx, bson.M{"_id": b.batch.ID, "at": b.batch.At})
		return err
	})
}

// note writes how far the making has come.
func (b *build) note(ctx context.Context, fields bson.M) error {
	if err := b.prove(ctx); err != nil {
		return err
	}
	return b.setSumsState(database.AllowDocuments(ctx, b.limits.read/2), fields) // it may be two operations
}

// all makes the sums of every month that has hours and is not before a time, one
// after the other, and notes that they are complete.
func (b *build) all(ctx context.Context, from time.Time) error {
	for {
		hour, found, err := b.firstHour(ctx, bson.M{"hour": bson.M{"$gte": from.Unix()}})
		if err != nil {
			return err
		}
		if !found {
			return b.note(ctx, bson.M{"complete": true})
		}
		month := BucketMonth.start(hour)
		if err := b.month(ctx, month); err != nil {
			return err
		}
		from = BucketMonth.next(month)
		if err := b.note(ctx, bson.M{"before": from.Unix()}); err != nil {
			return err
		}
	}
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
	hours := func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "hour", Value: 1}}).SetBatchSize(b.limits.page)
		return b.hours().Find(ctx, bson.M{"hour": bson.M{"$gte": period.From.Unix(), "$lt": period.To.Unix()}}, how)
	}
	if err := b.renew(ctx); err != nil {
		return err
	}
	return database.EachPage(ctx, b.db, hours, func(page []hourDocument) error { return b.add(ctx, page) })
}

// longerSumsOf selects what is derived from the hours of whole months.
func longerSumsOf(period Period) bson.M {
	return bson.M{"grain": bson.M{"$in": bson.A{int64(grainHour), int64(grainDay), int64(grainMonth)}},
		"start": bson.M{"$gte": period.From.Unix(), "$lt": period.To.Unix()}}
}

// add adds some hours to what is derived from them. Others of the same day may come
// later: sums grow.
func (b *build) add(ctx context.Context, documents []hourDocument) error {
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
	err := eachBulk(derivedChanges(hours, latencies), func(part []sumChange) error {
		if err := b.renew(ctx); err != nil {
			return err
		}
		return b.write(ctx, part, func(change *sumChange, model *mongo.UpdateOneModel) { model.SetUpdate(change.alone()).SetUpsert(true) })
	})
	if err != nil {
		return err
	}
	return b.renew(ctx)
}
