package analytics

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

// ListTopUsers finds candidates in analytics_ranks; see rankUsers. Those are of all
// services together, which is all that the dashboard asks about; for one service
// everybody is added up.
func (r *mongoRepository) ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error) {
	if scope.Service == "" || scope.UserID != nil || limit <= 0 {
		return rankUsers(ctx, r, scope, limit)
	}
	users, err := r.sumAmong(ctx, shelvesOf(scope, grainMonth, ofAccounts()), figureNames())
	return users[:min(len(users), limit)], err
}

// candidates returns who is among the first of the rankings; see ranked.
func (r *mongoRepository) candidates(ctx context.Context, rankings []ranking, most int) (ids []int64, others int64, err error) {
	type document struct {
		UserID   int64 `bson:"user_id"`
		Requests int64 `bson:"requests"`
	}
	var rows []rankRow
	for _, one := range rankings {
		found, err := database.Documents[document](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
			how := options.Find().SetSort(bson.D{{Key: "requests", Value: -1}}).SetLimit(int64(most)).SetProjection(bson.M{"user_id": 1, "requests": 1})
			return r.db.Collection(rankDocuments).Find(ctx, bson.M{"grain": int64(one.grain), "start": one.start, "requests": bson.M{"$gt": int64(0)}}, how)
		})
		if err != nil {
			return nil, 0, err
		}
		for _, row := range found {
			rows = append(rows, rankRow{UserID: row.UserID, Start: one.start, Requests: row.Requests})
		}
	}
	ids, others = candidatesOf(rows, most)
	return ids, others, nil
}

func (r *mongoRepository) sumUsers(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error) {
	if len(ids) == 0 {
		return []UserRollup{}, ctx.Err()
	}
	return r.sumAmong(ctx, shelvesOf(scope, grainMonth, bson.M{"$in": ids}), figureNames())
}

func (r *mongoRepository) sumRequests(ctx context.Context, scope Scope, ids []int64) ([]UserRollup, error) {
	if len(ids) == 0 {
		return []UserRollup{}, ctx.Err()
	}
	return r.sumAmong(ctx, rankShelves(scope, bson.M{"$in": ids}), []string{"requests"})
}

// rankShelves is shelvesOf with the requests of accounts by day and month in the
// place of their sums. The scope is of all services.
func rankShelves(scope Scope, who any) []shelf {
	places := shelvesOf(scope, grainMonth, who)
	for i := range places {
		if places[i].collection == userDocuments {
			places[i].collection = rankDocuments
		}
	}
	return places
}

// sumAmong sums by user, those with the most requests first, then by id.
func (r *mongoRepository) sumAmong(ctx context.Context, places []shelf, fields []string) ([]UserRollup, error) {
	var rows []UserRollup
	for _, place := range places {
		sums, err := database.SumDocuments[int64](ctx, r.db, database.Sums{
			Collection: place.collection, Match: place.match, By: "$user_id", Fields: fields,
		})
		if err != nil {
			return nil, err
		}
		for _, sum := range sums {
			rows = append(rows, UserRollup{sum.Key, figuresOf(sum.Fields)})
		}
	}
	return mergeUsers(rows), ctx.Err()
}

// CountUsers takes whoever came last in the period from an index. Of those who
// came before its end and after it, whether they came in it is looked up: first_ms
// can be too early while an account is being erased, which only costs a look. As
// with ListTopUsers, for one service everybody is looked at.
func (r *mongoRepository) CountUsers(ctx context.Context, scope Scope) (int64, error) {
	switch {
	case !scope.From.Before(scope.To) || scope.UserID != nil && *scope.UserID <= 0:
		return 0, ctx.Err()
	case scope.UserID != nil:
		users, err := r.usersIn(ctx, shelvesOf(scope, grainMonth, *scope.UserID))
		return int64(len(users)), err
	case scope.Service != "":
		users, err := r.usersIn(ctx, shelvesOf(scope, grainMonth, ofAccounts()))
		return int64(len(users)), err
	}
	from, to := scope.From.UnixMilli(), scope.To.UnixMilli()
	var ended int64
	err := r.db.Do(ctx, func(ctx context.Context) (err error) {
		ended, err = r.db.Collection(accountDocuments).CountDocuments(ctx, bson.M{"last_ms": bson.M{"$gte": from, "$lt": to}})
		return err
	})
	if err != nil {
		return 0, err
	}
	later, err := r.cameLater(ctx, to)
	if err != nil {
		return 0, err
	}
	came, err := r.countCame(ctx, scope, later)
	return ended + came, err
}

// cameLater returns the accounts that came before a time and after it.
func (r *mongoRepository) cameLater(ctx context.Context, ms int64) (map[int64]bool, error) {
	type account struct {
		UserID int64 `bson:"user_id"`
	}
	list, err := database.Documents[account](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.db.Collection(accountDocuments).Find(ctx, bson.M{"last_ms": bson.M{"$gte": ms}, "first_ms": bson.M{"$lt": ms}},
			options.Find().SetProjection(bson.M{"user_id": 1}))
	})
	accounts := make(map[int64]bool, len(list))
	for _, one := range list {
		accounts[one.UserID] = true
	}
	return accounts, err
}

// accountsAtOnce is how many accounts one question names, far below what a document
// may hold.
const accountsAtOnce = 5000

// countCame counts which of the accounts came in scope. Most of those who came at
// all came in one of a few days or in the last month, who are listed once; only
// the others are looked up in all of it.
func (r *mongoRepository) countCame(ctx context.Context, scope Scope, accounts map[int64]bool) (int64, error) {
	var came int64
	take := func(places []shelf) error {
		users, err := r.usersIn(ctx, places)
		for _, user := range users {
			if accounts[user] {
				delete(accounts, user)
				came++
			}
		}
		return err
	}
	longest := slices.MaxFunc(scope.pieces(grainMonth), func(a, b piece) int { return cmp.Compare(a.Grain, b.Grain) })
	if len(accounts) > 0 && longest.Grain != grainHour {
		listed := bson.M{"grain": int64(longest.Grain), "start": bson.M{"$in": sample(longest)}, "requests": bson.M{"$ne": int64(0)}}
		if err := take([]shelf{{collection: rankDocuments, match: listed}}); err != nil {
			return 0, err
		}
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(accounts)), accountsAtOnce) {
		if err := take(rankShelves(scope, bson.M{"$in": some})); err != nil {
			return 0, err
		}
	}
	return came, ctx.Err()
}

// usersIn lists the users who have any of the documents, each once.
func (r *mongoRepository) usersIn(ctx context.Context, places []shelf) ([]int64, error) {
	type user struct {
		ID int64 `bson:"_id"`
	}
	distinct := map[int64]bool{}
	for _, place := range places {
		list, err := database.Documents[user](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
			return r.db.Collection(place.collection).Aggregate(ctx, bson.A{bson.M{"$match": place.match}, bson.M{"$group": bson.M{"_id": "$user_id"}}})
		})
		if err != nil {
			return nil, err
		}
		for _, one := range list {
			distinct[one.ID] = true
		}
	}
	return slices.Collect(maps.Keys(distinct)), nil
}
