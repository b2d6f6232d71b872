package analytics

import (
	"context"
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

// sumGroup is what sums are grouped by.
type sumGroup struct {
	Start    int64  `bson:"start"`
	Service  string `bson:"service"`
	Provider string `bson:"provider"`
	Model    string `bson:"model"`
}

// shelf is where the sums of some pieces of a scope are: the hours of single
// users, their longer sums, or sums over everyone.
type shelf struct {
	collection string
	start      string // the field that holds the beginning of a document's time
	match      bson.M // of what has requests
}

// shelvesOf returns where the sums in scope are, in documents that are not longer
// than coarsest. who selects the users and is nil for everyone together.
func shelvesOf(scope Scope, coarsest grain, who any) []shelf {
	var hours, longer []bson.M
	for _, p := range scope.pieces(coarsest) {
		one := bson.M{}
		if who != nil {
			one["user_id"] = who
		}
		during := bson.M{"$gte": p.From, "$lt": p.To}
		if p.Grain == grainHour && who != nil {
			one["hour"] = during
			hours = append(hours, one)
			continue
		}
		one["grain"], one["start"] = int64(p.Grain), during
		longer = append(longer, one)
	}
	var list []shelf
	add := func(collection, start string, pieces []bson.M) {
		if len(pieces) == 0 {
			return
		}
		match := pieces[0]
		if len(pieces) > 1 {
			match = bson.M{"$or": pieces}
		}
		match["requests"] = bson.M{"$ne": int64(0)}
		if scope.Service != "" {
			match["service"] = scope.Service
		}
		list = append(list, shelf{collection, start, match})
	}
	if who == nil {
		add(everyoneDocuments, "$start", longer)
		return list
	}
	add(hourDocuments, "$hour", hours)
	add(userDocuments, "$start", longer)
	return list
}

// whoOf returns what shelvesOf takes.
func whoOf(scope Scope) any {
	if scope.UserID == nil {
		return nil
	}
	return *scope.UserID
}

// ofAccounts selects the users that are accounts.
func ofAccounts() any { return bson.M{"$gt": int64(0)} }

func (r *mongoRepository) ListRollups(ctx context.Context, scope Scope, group Group) ([]Rollup, error) {
	var rows []sumRow
	for _, place := range shelvesOf(scope, group.Step.coarsest(), whoOf(scope)) {
		sums, err := database.SumDocuments[sumGroup](ctx, r.db, database.Sums{
			Collection: place.collection, Match: place.match, By: place.groupedBy(group), Fields: figureNames(),
		})
		if err != nil {
			return nil, err
		}
		for _, sum := range sums {
			key := sum.Key
			row := sumRow{Start: key.Start, Service: key.Service, Provider: key.Provider, Model: key.Model, Figures: figuresOf(sum.Fields)}
			if row.Requests > 0 {
				rows = append(rows, row)
			}
		}
	}
	return mergeRows(rows, group.Step), ctx.Err()
}

func (r *mongoRepository) ListLatencies(ctx context.Context, scope Scope, group Group) ([]LatencyRollup, error) {
	names, found := bucketNames(), latencyGroups{}
	group.Step = StepNone
	for _, place := range shelvesOf(scope, grainMonth, whoOf(scope)) {
		sums, err := database.SumDocuments[sumGroup](ctx, r.db, database.Sums{
			Collection: place.collection, Match: place.match, By: place.groupedBy(group), Fields: names,
		})
		if err != nil {
			return nil, err
		}
		for _, sum := range sums {
			histogram := found.of(sum.Key.Service, sum.Key.Provider, sum.Key.Model)
			for i, name := range names {
				histogram[i] += sum.Fields[name]
			}
		}
	}
	return found.list(), ctx.Err()
}

// FindSpan looks for the first and the last times among the few longest sums.
func (r *mongoRepository) FindSpan(ctx context.Context, scope Scope) (first, last time.Time, err error) {
	for _, place := range shelvesOf(scope, grainMonth, whoOf(scope)) {
		begin, found, err := r.edge(ctx, place, "first_ms", 1)
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
		end, foundEnd, err := r.edge(ctx, place, "last_ms", -1)
		if err != nil {
			return time.Time{}, time.Time{}, err
		}
		if !found || !foundEnd {
			continue
		}
		if first.IsZero() || begin.Before(first) {
			first = begin
		}
		if end.After(last) {
			last = end
		}
	}
	return first, last, ctx.Err()
}

// edge returns the smallest or largest value of a field of milliseconds.
func (r *mongoRepository) edge(ctx context.Context, place shelf, field string, direction int) (time.Time, bool, error) {
	match := maps.Clone(place.match)
	match[field] = bson.M{"$gt": int64(0)}
	var found map[string]any
	err := r.db.Do(ctx, func(ctx context.Context) error {
		how := options.FindOne().SetSort(bson.D{{Key: field, Value: direction}}).SetProjection(bson.M{field: 1})
		return r.db.Collection(place.collection).FindOne(ctx, match, how).Decode(&found)
	})
	if database.IsNotFound(err) {
		return time.Time{}, false, nil
	}
	return time.UnixMilli(wholeNumber(found[field])).UTC(), err == nil, err
}

// groupedBy returns the _id of a $group.
func (s shelf) groupedBy(group Group) any {
	var by bson.D
	switch group.Step {
	case StepHour:
		by = append(by, bson.E{Key: "start", Value: s.start})
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
