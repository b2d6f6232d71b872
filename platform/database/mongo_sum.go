package database

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
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
// $group sees documents, so that every field takes a query of its own and sums
// of a moment in which something is written may differ a little in time.
func SumDocuments[Key comparable](ctx context.Context, m *Mongo, sums Sums) ([]Sum[Key], error) {
	atOnce := len(sums.Fields)
	if m.oneSum {
		atOnce = 1
	}
	list := []Sum[Key]{}
	index := map[Key]int{}
	for from := 0; from < len(sums.Fields); from += atOnce {
		part := sums
		part.Fields = sums.Fields[from:min(from+atOnce, len(sums.Fields))]
		groups, err := Documents[Sum[Key]](ctx, m, func(ctx context.Context) (*mongo.Cursor, error) {
			return m.Collection(sums.Collection).Aggregate(ctx, part.pipeline())
		})
		if err != nil {
			return nil, err
		}
		for _, group := range groups {
			i, known := index[group.Key]
			if !known {
				index[group.Key] = len(list)
				list = append(list, group)
				continue
			}
			for field, sum := range group.Fields {
				list[i].Fields[field] = sum
			}
		}
	}
	return list, nil
}

func (s Sums) pipeline() bson.A {
	group := bson.D{{Key: "_id", Value: s.By}}
	for _, field := range s.Fields {
		group = append(group, bson.E{Key: field, Value: bson.D{{Key: "$sum", Value: "$" + field}}})
	}
	return bson.A{bson.D{{Key: "$match", Value: s.Match}}, bson.D{{Key: "$group", Value: group}}}
}
