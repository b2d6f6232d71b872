package database

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Sums asks for sums of integer fields over groups of documents.
type Sums struct {
	Collection string
	Match      bson.M
	By         any      // the _id of $group: nil, "$field" or a bson.D of such
	Fields     []string // without dots; a document that lacks one adds nothing
}

// Sum is one group.
type Sum[Key comparable] struct {
	Key    Key              `bson:"_id"`
	Fields map[string]int64 `bson:",inline"`
}

// SumDocuments returns the groups of the documents that match, in no order. One
// query does it, except on FerretDB 1, where only the first accumulator of a
// $group sees documents: it reads every document for any question anyway, and sends
// them, so that they are added up here.
func SumDocuments[Key comparable](ctx context.Context, m *Mongo, sums Sums) ([]Sum[Key], error) {
	if m.oneSum {
		return sumHere[Key](ctx, m, sums)
	}
	list, err := Documents[Sum[Key]](ctx, m, func(ctx context.Context) (*mongo.Cursor, error) {
		return m.Collection(sums.Collection).Aggregate(ctx, sums.pipeline())
	})
	if list == nil {
		list = []Sum[Key]{}
	}
	return list, err
}

func (s Sums) pipeline() bson.A {
	group := bson.D{{Key: "_id", Value: s.By}}
	for _, field := range s.Fields {
		group = append(group, bson.E{Key: field, Value: bson.D{{Key: "$sum", Value: "$" + field}}})
	}
	return bson.A{bson.D{{Key: "$match", Value: s.Match}}, bson.D{{Key: "$group", Value: group}}}
}

// sumHere adds up the documents that match in this process.
func sumHere[Key comparable](ctx context.Context, m *Mongo, sums Sums) ([]Sum[Key], error) {
	list, index := []Sum[Key]{}, map[string]int{}
	wanted := append(sums.groupFields(), sums.Fields...)
	projection := bson.M{}
	for _, name := range wanted {
		projection[name] = 1
	}
	err := m.Do(ctx, func(ctx context.Context) error {
		list, index = list[:0], map[string]int{}
		cursor, err := m.Collection(sums.Collection).Find(ctx, sums.Match, options.Find().SetProjection(projection))
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(ctx) }()
		for cursor.Next(ctx) {
			key, err := bson.Marshal(bson.D{{Key: "_id", Value: groupOf(sums.By, cursor.Current)}})
			if err != nil {
				return err
			}
			i, known := index[string(key)]
			if !known {
				var group Sum[Key]
				if err := bson.Unmarshal(key, &group); err != nil {
					return err
				}
				group.Fields = map[string]int64{}
				i = len(list)
				index[string(key)], list = i, append(list, group)
			}
			for _, name := range sums.Fields {
				n, _ := cursor.Current.Lookup(name).AsInt64OK()
				list[i].Fields[name] += n
			}
		}
		return cursor.Err()
	})
	return list, err
}

// groupOf evaluates the _id of a $group for a document.
func groupOf(by any, document bson.Raw) any {
	switch by := by.(type) {
	case string:
		return document.Lookup(by[1:])
	case bson.D:
		group := make(bson.D, len(by))
		for i, part := range by {
			group[i] = bson.E{Key: part.Key, Value: groupOf(part.Value, document)}
		}
		return group
	}
	return nil
}

// groupFields lists the fields that make the groups.
func (s Sums) groupFields() []string {
	var names []string
	switch by := s.By.(type) {
	case string:
		names = append(names, by[1:])
	case bson.D:
		for _, part := range by {
			if field, ok := part.Value.(string); ok {
				names = append(names, field[1:])
			}
		}
	}
	return names
}
