package analytics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

// hourGroup is what sums of hours are grouped by.
type hourGroup struct {
	Start    int64  `bson:"start"`
	Service  string `bson:"service"`
	Provider string `bson:"provider"`
	Model    string `bson:"model"`
}

func (r *mongoRepository) ListRollups(ctx context.Context, scope Scope, group Group) ([]Rollup, error) {
	sums, err := database.SumDocuments[hourGroup](ctx, r.db, database.Sums{
		Collection: hourDocuments, Match: matching(scope), By: groupedBy(group), Fields: figureNames(),
	})
	if err != nil {
		return nil, err
	}
	list := make([]Rollup, 0, len(sums))
	for _, sum := range sums {
		key := sum.Key
		row := sumRow{Start: key.Start, Service: key.Service, Provider: key.Provider, Model: key.Model, Figures: figuresOf(sum.Fields)}
		if row.Requests > 0 {
			list = append(list, row.rollup(group.Step))
		}
	}
	slices.SortFunc(list, compareRollups)
	return list, nil
}

func (r *mongoRepository) ListLatencies(ctx context.Context, scope Scope, group Group) ([]LatencyRollup, error) {
	names := bucketNames()
	group.Step = StepNone
	sums, err := database.SumDocuments[hourGroup](ctx, r.db, database.Sums{
		Collection: hourDocuments, Match: matching(scope), By: groupedBy(group), Fields: names,
	})
	if err != nil {
		return nil, err
	}
	list := make([]LatencyRollup, 0, len(sums))
	for _, sum := range sums {
		row := LatencyRollup{Service: sum.Key.Service, Provider: sum.Key.Provider, Model: sum.Key.Model}
		for i, name := range names {
			row.Latencies[i] = sum.Fields[name]
		}
		if row.Latencies != (Histogram{}) {
			list = append(list, row)
		}
	}
	slices.SortFunc(list, func(a, b LatencyRollup) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return list, nil
}

// ListTopUsers finds out who they are first and then sums for them alone.
func (r *mongoRepository) ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error) {
	match, possible := ofAccounts(scope)
	if !possible || limit <= 0 {
		return []UserRollup{}, nil
	}
	type user struct {
		ID int64 `bson:"_id"`
	}
	most, err := database.Documents[user](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.hours().Aggregate(ctx, bson.A{
			bson.M{"$match": match},
			bson.M{"$group": bson.M{"_id": "$user_id", "requests": bson.M{"$sum": "$requests"}}},
			bson.M{"$sort": bson.D{{Key: "requests", Value: -1}, {Key: "_id", Value: 1}}},
			bson.M{"$limit": int64(limit)},
		})
	})
	if err != nil || len(most) == 0 {
		return []UserRollup{}, err
	}
	ids := make([]int64, len(most))
	for i, one := range most {
		ids[i] = one.ID
	}
	match["user_id"] = bson.M{"$in": ids}
	sums, err := database.SumDocuments[int64](ctx, r.db, database.Sums{
		Collection: hourDocuments, Match: match, By: "$user_id", Fields: figureNames(),
	})
	if err != nil {
		return nil, err
	}
	list := make([]UserRollup, len(sums))
	for i, sum := range sums {
		list[i] = UserRollup{sum.Key, figuresOf(sum.Fields)}
	}
	slices.SortFunc(list, func(a, b UserRollup) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.UserID, b.UserID))
	})
	return list, nil
}

func (r *mongoRepository) CountUsers(ctx context.Context, scope Scope) (int64, error) {
	match, possible := ofAccounts(scope)
	if !possible {
		return 0, ctx.Err()
	}
	type counted struct {
		Users int64 `bson:"users"`
	}
	list, err := database.Documents[counted](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		return r.hours().Aggregate(ctx, bson.A{
			bson.M{"$match": match}, bson.M{"$group": bson.M{"_id": "$user_id"}}, bson.M{"$count": "users"},
		})
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return list[0].Users, nil
}

// FindSpan looks for the first and the last hour, which an index has, and then
// into those alone.
func (r *mongoRepository) FindSpan(ctx context.Context, scope Scope) (first, last time.Time, err error) {
	begin, err := r.edge(ctx, scope, "first_ms", 1)
	if err != nil || begin == 0 {
		return time.Time{}, time.Time{}, err
	}
	end, err := r.edge(ctx, scope, "last_ms", -1)
	if err != nil || end == 0 {
		return time.Time{}, time.Time{}, err
	}
	return time.UnixMilli(begin).UTC(), time.UnixMilli(end).UTC(), nil
}

// edge returns the first or last value of a field of the hours in scope, in
// milliseconds, or 0 when there is none.
func (r *mongoRepository) edge(ctx context.Context, scope Scope, field string, direction int) (int64, error) {
	type hour struct {
		Hour    int64 `bson:"hour"`
		FirstMS int64 `bson:"first_ms"`
		LastMS  int64 `bson:"last_ms"`
	}
	match := matching(scope)
	var found hour
	for _, by := range []string{"hour", field} {
		err := r.db.Do(ctx, func(ctx context.Context) error {
			return r.hours().FindOne(ctx, match, options.FindOne().SetSort(bson.D{{Key: by, Value: direction}})).Decode(&found)
		})
		if database.IsNotFound(err) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		match["hour"] = found.Hour
	}
	if direction > 0 {
		return found.FirstMS, nil
	}
	return found.LastMS, nil
}

// matching selects the hours in scope that have requests.
func matching(scope Scope) bson.M {
	match := bson.M{"hour": bson.M{"$gte": scope.From.Unix(), "$lt": scope.To.Unix()}, "requests": bson.M{"$ne": int64(0)}}
	if scope.UserID != nil {
		match["user_id"] = *scope.UserID
	}
	if scope.Service != "" {
		match["service"] = scope.Service
	}
	return match
}

// ofAccounts selects only hours of accounts, unless the scope has none.
func ofAccounts(scope Scope) (match bson.M, possible bool) {
	match = matching(scope)
	if scope.UserID != nil {
		return match, *scope.UserID > 0
	}
	match["user_id"] = bson.M{"$gt": int64(0)}
	return match, true
}

// groupedBy returns the _id of a $group.
func groupedBy(group Group) any {
	var by bson.D
	switch group.Step {
	case StepHour:
		by = append(by, bson.E{Key: "start", Value: "$hour"})
	case StepDay:
		by = append(by, bson.E{Key: "start", Value: "$day"})
	}
	if group.Service {
		by = append(by, bson.E{Key: "service", Value: "$service"})
	}
	if group.Model {
		by = append(by, bson.E{Key: "provider", Value: "$provider"}, bson.E{Key: "model", Value: "$model"})
	}
	if by == nil {
		return nil
	}
	return by
}

func figureNames() []string {
	names := make([]string, len(figureFields))
	for i, field := range figureFields {
		names[i] = field.name
	}
	return names
}

func bucketNames() []string {
	names := make([]string, latencyBuckets)
	for i := range names {
		names[i] = bucketField(i)
	}
	return names
}

func figuresOf(fields map[string]int64) Figures {
	var f Figures
	for _, field := range figureFields {
		*field.of(&f) = fields[field.name]
	}
	return f
}
