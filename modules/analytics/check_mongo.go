package analytics

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/uid"
)

// FindKept returns how far back events and sums reach; see checked.
func (r *mongoRepository) FindKept(ctx context.Context) (events, sums time.Time, err error) {
	events, _, err = r.firstEvent(ctx, bson.M{})
	if err != nil {
		return events, sums, err
	}
	sums, _, err = r.firstHour(ctx, bson.M{})
	return events, sums, err
}

// firstEvent returns the hour of the first event that matches.
func (r *mongoRepository) firstEvent(ctx context.Context, which bson.M) (time.Time, bool, error) {
	list, err := database.Documents[eventDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "ts", Value: 1}}).SetLimit(1).SetProjection(bson.M{"ts": 1})
		return r.events().Find(ctx, which, how)
	})
	if err != nil || len(list) == 0 {
		return time.Time{}, false, err
	}
	return list[0].TS.UTC().Truncate(time.Hour), true, nil
}

func (r *mongoRepository) firstHour(ctx context.Context, which bson.M) (time.Time, bool, error) {
	list, err := database.Documents[deltaDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "hour", Value: 1}}).SetLimit(1).SetProjection(bson.M{"hour": 1})
		return r.hours().Find(ctx, which, how)
	})
	if err != nil || len(list) == 0 {
		return time.Time{}, false, err
	}
	return time.Unix(list[0].Hour, 0).UTC(), true, nil
}

// NextHour finds the next hour with anything in it; see checked.
func (r *mongoRepository) NextHour(ctx context.Context, from, until time.Time) (time.Time, bool, error) {
	next := until
	event, found, err := r.firstEvent(ctx, bson.M{"ts": bson.M{"$gte": from.UTC(), "$lt": until.UTC()}})
	if err != nil {
		return next, false, err
	}
	if found {
		next = event
	}
	hour, found, err := r.firstHour(ctx, bson.M{"hour": bson.M{"$gte": from.Unix(), "$lt": next.Unix()}})
	if found {
		next = hour
	}
	return next, next.Before(until), err
}

// ListHourEvents lists a part of an hour's events; see checked.
func (r *mongoRepository) ListHourEvents(ctx context.Context, hour time.Time, after string, limit int) ([]Event, error) {
	from, until := idBounds(hour)
	which := bson.M{"ts": bson.M{"$gte": hour.UTC(), "$lt": hour.Add(time.Hour).UTC()}, "_id": bson.M{"$gt": max(from, after), "$lt": until}}
	documents, err := database.Documents[eventDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.events().Find(ctx, which, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(int64(limit)))
	})
	events := make([]Event, len(documents))
	for i := range documents {
		events[i] = documents[i].event()
	}
	return events, err
}

// ListHourSums lists the stored sums of an hour; see checked.
func (r *mongoRepository) ListHourSums(ctx context.Context, hour time.Time) (hourSums, error) {
	sums := newHourSums()
	documents, err := database.Documents[bson.M](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.hours().Find(ctx, bson.M{"hour": hour.Unix()})
	})
	for _, document := range documents {
		key := rollupKey{Hour: hour.Unix(), UserID: wholeNumber(document["user_id"])}
		key.Service, _ = document["service"].(string)
		key.Provider, _ = document["provider"].(string)
		key.Model, _ = document["model"].(string)
		row := hourRow{Key: key, FirstMS: wholeNumber(document["first_ms"]), LastMS: wholeNumber(document["last_ms"])}
		for _, field := range figureFields {
			*field.of(&row.Figures) = wholeNumber(document[field.name])
		}
		if row.Figures != (Figures{}) { // DetachUser leaves none behind
			sums.hours[key] = row
		}
		for bucket := range latencyBuckets {
			if n := wholeNumber(document[bucketField(bucket)]); n != 0 {
				sums.latencies[latencyKey{key, bucket}] = n
			}
		}
	}
	return sums, err
}

// wholeNumber reads a number as the servers return it.
func wholeNumber(value any) int64 {
	switch n := value.(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	case float64:
		return int64(n)
	}
	return 0
}

// AddSums adds to the sums of an hour as a batch does; see checked.
func (r *mongoRepository) AddSums(ctx context.Context, sums hourSums) error {
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	hours, latencies := sums.rows()
	deltas := map[rollupKey]*deltaDocument{}
	order := []rollupKey{}
	fieldsOf := func(key rollupKey) map[string]int64 {
		if deltas[key] == nil {
			delta := newDelta(key, map[string]int64{})
			deltas[key] = &delta
			order = append(order, key)
		}
		return deltas[key].Fields
	}
	for _, row := range hours {
		fields := fieldsOf(row.Key)
		for _, field := range figureFields {
			if n := *field.of(&row.Figures); n != 0 {
				fields[field.name] = n
			}
		}
		deltas[row.Key].FirstMS, deltas[row.Key].LastMS = row.FirstMS, row.LastMS
	}
	for _, row := range latencies {
		fieldsOf(row.Key)[bucketField(row.Bucket)] = row.Requests
	}
	batch := batchDocument{ID: uid.New(r.now()), At: stored(r.now()), Events: []string{}}
	if err := r.insertBatch(ctx, batch); err != nil {
		return err
	}
	list := []deltaDocument{}
	for _, key := range order {
		list = append(list, *deltas[key])
	}
	return r.roll(ctx, batch, list)
}

// maxPending bounds the batches that are looked at: each process has one at a
// time.
const maxPending = 1000

// ListPending lists the hours of batches under way; see checked. An event's id
// tells its hour.
func (r *mongoRepository) ListPending(ctx context.Context, before time.Time) (map[int64]bool, int, error) {
	batches, err := database.Documents[batchDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.batches().Find(ctx, bson.M{"_id": bson.M{"$ne": buildBatch}}, options.Find().SetLimit(maxPending))
	})
	hours, old := map[int64]bool{}, 0
	for _, batch := range batches {
		if batch.At.Before(before) {
			old++
		}
		for _, id := range batch.Events {
			at, _ := uid.Time(id)
			hours[at.Truncate(time.Hour).Unix()] = true
		}
		for _, delta := range batch.Deltas {
			hours[delta.Hour] = true
		}
	}
	return hours, old, err
}

// Recover completes what interrupted processes left; see checked.
func (r *mongoRepository) Recover(ctx context.Context) error { return r.recover(ctx) }
