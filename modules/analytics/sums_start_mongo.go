package analytics

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
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
	state, err := r.sumsState(ctx)
	if err != nil || state.Complete {
		return err
	}
	_, found, err := r.firstHour(ctx, bson.M{})
	if err != nil {
		return err
	}
	if !found {
		return r.setSumsState(ctx, bson.M{"complete": true})
	}
	return r.buildAlone(ctx, func(ctx context.Context, b *build) error {
		state, err := r.sumsState(ctx) // another process may have been first
		if err != nil || state.Complete {
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
