package analytics

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

// sumsState is the document of analytics_state that tells how far the longer sums
// were made from the hours that a release without them left.
type sumsState struct {
	ID       string `bson:"_id"`
	Before   int64  `bson:"before"` // the months before it are made; Unix seconds
	Complete bool   `bson:"complete"`
}

const sumsStateID = "sums"

// completeSums makes the longer sums, once. Nothing serves from this database
// before they are complete, so that nobody adds to the hours meanwhile.
func (r *mongoRepository) completeSums(ctx context.Context) error {
	done, err := r.areComplete(ctx)
	if err != nil {
		return err
	}
	if done {
		r.warnIfBehind(ctx)
		return nil
	}
	_, found, err := r.firstHour(ctx, bson.M{})
	if err != nil {
		return err
	}
	if !found {
		return r.setSumsState(ctx, bson.M{"complete": true})
	}
	return r.buildAlone(ctx, r.areComplete, func(ctx context.Context, b *build) error {
		state, err := r.sumsState(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		r.db.Logger().InfoContext(ctx, "sums of usage by day, by month and of everyone are made from the hours, once")
		if err := b.all(ctx, time.Unix(state.Before, 0).UTC()); err != nil {
			return err
		}
		r.db.Logger().InfoContext(ctx, "sums of usage are made", "took_ms", time.Since(began).Milliseconds())
		return nil
	})
}

// areComplete reports whether the longer sums were made.
func (r *mongoRepository) areComplete(ctx context.Context) (bool, error) {
	state, err := r.sumsState(ctx)
	return state.Complete, err
}

// warnIfBehind says when a release without longer sums was here since they were
// made, as far as the newest hours tell. A server that reads everything to find
// some documents (see ByIDAlone) is not asked.
func (r *mongoRepository) warnIfBehind(ctx context.Context) {
	if r.byID {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, atStart)
	defer cancel()
	for range 2 { // an erasure under way can look like it once
		behind, err := r.areBehind(ctx)
		if err != nil || !behind || pause(ctx, buildPause) != nil {
			return
		}
	}
	r.db.Logger().ErrorContext(ctx, sumsBehind)
}

// areBehind reports whether the sums of everyone by hour are not those of the newest
// hours. Hours that a batch is at work on are passed over: one that adds to them
// between the readings is open at the second look for batches, or has changed the
// sums.
func (r *mongoRepository) areBehind(ctx context.Context) (bool, error) {
	newest, found, err := r.lastHour(ctx)
	if err != nil || !found {
		return false, err
	}
	if now := r.now().UTC(); now.Before(newest) {
		newest = now
	}
	from := bson.M{"$gte": newest.Add(-comparedAtStart).Unix()}
	ofEveryone := database.Sums{Collection: everyoneDocuments, Match: bson.M{"grain": int64(grainHour), "start": from}, By: "$start"}
	busy, _, err := r.ListPending(ctx, r.now())
	if err != nil {
		return false, err
	}
	before, err := r.requestsBy(ctx, ofEveryone)
	if err != nil {
		return false, err
	}
	hours, err := r.requestsBy(ctx, database.Sums{Collection: hourDocuments, Match: bson.M{"hour": from}, By: "$hour"})
	if err != nil {
		return false, err
	}
	busyStill, _, err := r.ListPending(ctx, r.now())
	if err != nil {
		return false, err
	}
	after, err := r.requestsBy(ctx, ofEveryone)
	for hour, requests := range hours {
		if requests != after[hour] && before[hour] == after[hour] && !busy[hour] && !busyStill[hour] {
			return err == nil, err
		}
	}
	return false, err
}

func (r *mongoRepository) lastHour(ctx context.Context) (time.Time, bool, error) {
	list, err := database.Documents[deltaDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "hour", Value: -1}}).SetLimit(1).SetProjection(bson.M{"hour": 1})
		return r.hours().Find(ctx, bson.M{}, how)
	})
	if err != nil || len(list) == 0 {
		return time.Time{}, false, err
	}
	return time.Unix(list[0].Hour, 0).UTC(), true, nil
}

// requestsBy sums requests by a time in Unix seconds.
func (r *mongoRepository) requestsBy(ctx context.Context, sums database.Sums) (map[int64]int64, error) {
	sums.Fields = []string{"requests"}
	found, err := database.SumDocuments[int64](ctx, r.db, sums)
	requests := make(map[int64]int64, len(found))
	for _, sum := range found {
		requests[sum.Key] = sum.Fields["requests"]
	}
	return requests, err
}

func (r *mongoRepository) sumsState(ctx context.Context) (sumsState, error) {
	var state sumsState
	err := r.db.Do(ctx, func(ctx context.Context) error {
		return r.db.Collection(stateDocuments).FindOne(ctx, bson.M{"_id": sumsStateID}).Decode(&state)
	})
	if database.IsNotFound(err) {
		return sumsState{}, nil
	}
	return state, err
}

func (r *mongoRepository) setSumsState(ctx context.Context, fields bson.M) error {
	set := func(ctx context.Context) error {
		_, err := r.db.Collection(stateDocuments).UpdateOne(ctx, bson.M{"_id": sumsStateID}, bson.M{"$set": fields}, options.UpdateOne().SetUpsert(true))
		return err
	}
	err := r.db.Do(ctx, set)
	if database.IsDuplicate(err) { // two processes made it at once
		err = r.db.Do(ctx, set)
	}
	return err
}
