package analytics

import (
	"context"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// detachedHours is how many hours one batch of DetachUser moves.
const detachedHours = 100

// DetachUser changes events a step at a time and moves hours by batches: what an
// hour holds is taken from it, and from the longer sums it is in, and added to
// those of ErasedUser. Increments that arrive meanwhile are either in it or stay
// for the next batch.
func (r *mongoRepository) DetachUser(ctx context.Context, userID int64) error {
	if userID <= 0 {
		return ctx.Err() // nobody
	}
	if err := r.recover(ctx); err != nil {
		return err
	}
	for {
		changed, err := r.detachEvents(ctx, userID)
		if err != nil {
			return err
		}
		if !changed {
			break
		}
	}
	if err := r.outwait(ctx, userID); err != nil {
		return err
	}
	for {
		moved, err := r.detachHours(ctx, userID)
		if err != nil {
			return err
		}
		if !moved {
			return r.forgetAccount(ctx, userID)
		}
	}
}

// erasurePatience is how long an erasure waits for batches under way. A live process
// ends one in a moment; what one leaves is erased when the account is erased again.
const erasurePatience = 5 * time.Second

// outwait waits for the batches that are under way, of any process: they may have
// stored events of the account that are not in its hours yet, or added to its hours
// what is not in its longer sums yet, which would be left with sums of zeros.
func (r *mongoRepository) outwait(ctx context.Context, userID int64) error {
	noted := false
	which := bson.M{"_id": bson.M{"$nin": bson.A{buildBatch, detachBatch(userID)}}}
	for deadline := time.Now().Add(erasurePatience); ; {
		found, err := database.Documents[identified](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
			return r.batches().Find(ctx, which, options.Find().SetLimit(maxPending).SetProjection(bson.M{"_id": 1}))
		})
		if err != nil || len(found) == 0 || time.Now().After(deadline) {
			return err
		}
		if !noted {
			ids := make([]string, len(found))
			for i, batch := range found {
				ids[i] = batch.ID
			}
			which, noted = bson.M{"_id": bson.M{"$in": ids}}, true // not those that come
		}
		if err := pause(ctx, buildPause); err != nil {
			return err
		}
	}
}

func detachBatch(userID int64) string { return "detach-" + strconv.FormatInt(userID, 10) }

func (r *mongoRepository) detachEvents(ctx context.Context, userID int64) (changed bool, err error) {
	ids, err := r.eventIDs(ctx, bson.M{"user_id": userID}, eraseEvents)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	return true, r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.events().UpdateMany(ctx, bson.M{"_id": bson.M{"$in": ids}},
			bson.M{"$set": bson.M{"user_id": ErasedUser, "request_id": "", "object_id": ""}})
		return err
	})
}

// detachHours moves some hours of the account and reports whether there were
// any. The id of its batch lets one call at a time do so for an account, so that
// nothing is taken twice.
func (r *mongoRepository) detachHours(ctx context.Context, userID int64) (moved bool, err error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	batch := batchDocument{ID: detachBatch(userID), At: stored(r.now())}
	err = r.insertBatch(ctx, batch)
	if database.IsDuplicate(err) {
		return false, fault.Wrap(err, fault.Unavailable, "erasure_running", "The usage of this account is being erased already. Try again in a minute.")
	}
	if err != nil {
		return false, err
	}
	held, err := database.Documents[hourDocument](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "hour", Value: 1}}).SetLimit(detachedHours)
		return r.hours().Find(ctx, bson.M{"user_id": userID, "requests": bson.M{"$ne": int64(0)}}, how)
	})
	if err != nil {
		return false, err
	}
	rolling, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollTime)
	defer cancel()
	if err := r.roll(rolling, batch, moves(held)); err != nil {
		return false, err
	}
	return len(held) > 0, r.dropEmptied(ctx, userID)
}

// dropEmptied removes the hours and the longer sums of an account that hold nothing
// any more and that no batch is at work on.
func (r *mongoRepository) dropEmptied(ctx context.Context, userID int64) error {
	for _, collection := range []string{hourDocuments, userDocuments, rankDocuments} {
		err := r.db.Do(ctx, func(ctx context.Context) error {
			_, err := r.db.Collection(collection).DeleteMany(ctx, bson.M{"user_id": userID, "requests": int64(0), "batches": bson.A{}})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetAccount removes when the account came. That of an event which comes now is
// made anew, or goes with it and is missed by CountUsers until the event is erased
// too.
func (r *mongoRepository) forgetAccount(ctx context.Context, userID int64) error {
	return r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.db.Collection(accountDocuments).DeleteMany(ctx, bson.M{"user_id": userID})
		return err
	})
}

// hourDocument is a document of analytics_hours.
type hourDocument struct {
	Hour     int64          `bson:"hour"`
	UserID   int64          `bson:"user_id"`
	Service  string         `bson:"service"`
	Provider string         `bson:"provider"`
	Model    string         `bson:"model"`
	FirstMS  int64          `bson:"first_ms"`
	LastMS   int64          `bson:"last_ms"`
	Rest     map[string]any `bson:",inline"` // figures and latency buckets among others
}

// moves returns the deltas that take what the hours hold and give it to
// ErasedUser.
func moves(held []hourDocument) []deltaDocument {
	var list []deltaDocument
	for _, hour := range held {
		take, give := map[string]int64{}, map[string]int64{}
		for _, field := range summedFields() {
			if n, _ := hour.Rest[field].(int64); n != 0 {
				take[field], give[field] = -n, n
			}
		}
		from := rollupKey{Hour: hour.Hour, UserID: hour.UserID, Service: hour.Service, Provider: hour.Provider, Model: hour.Model}
		to := from
		to.UserID = ErasedUser
		given := newDelta(to, give)
		given.FirstMS, given.LastMS = hour.FirstMS, hour.LastMS
		list = append(list, newDelta(from, take), given)
	}
	return list
}

// summedFields returns every field that batches add to.
func summedFields() []string { return append(figureNames(), bucketNames()...) }
