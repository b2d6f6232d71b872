package database

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

type documentsAllowed struct{}

// AllowDocuments returns a context in which one operation of Do may take as long
// as this: nobody waits for an answer, as somebody does for that of a request.
func AllowDocuments(ctx context.Context, longest time.Duration) context.Context {
	return context.WithValue(ctx, documentsAllowed{}, longest)
}

// operationTime is how long one operation may take that usually may take usual.
func operationTime(ctx context.Context, usual time.Duration) time.Duration {
	if longest, ok := ctx.Value(documentsAllowed{}).(time.Duration); ok {
		return longest
	}
	return usual
}

// pageDocuments is how many documents EachDocument reads at once.
const pageDocuments = 200

// EachDocument visits the documents of a collection in the order of their _id,
// which is text and which id returns, without ever holding more than a page of
// them.
func EachDocument[Document any](ctx context.Context, m *Mongo, collection string, id func(Document) string, visit func(Document) error) error {
	after := ""
	for {
		page, err := Documents[Document](ctx, m, func(ctx context.Context) (*mongo.Cursor, error) {
			order := options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetLimit(pageDocuments)
			return m.Collection(collection).Find(ctx, bson.M{"_id": bson.M{"$gt": after}}, order)
		})
		if err != nil {
			return err
		}
		for _, document := range page {
			if err := visit(document); err != nil {
				return err
			}
			after = id(document)
		}
		if len(page) < pageDocuments {
			return nil
		}
	}
}

// InsertDocuments stores new documents.
func InsertDocuments[Document any](ctx context.Context, m *Mongo, collection string, documents []Document) error {
	return m.Do(ctx, func(ctx context.Context) error {
		_, err := m.Collection(collection).InsertMany(ctx, documents)
		return err
	})
}

// CountDocuments returns about how many documents the collections hold; 0 only
// when there are none.
func CountDocuments(ctx context.Context, m *Mongo, collections ...string) (total int64, err error) {
	for _, name := range collections {
		err := m.Do(ctx, func(ctx context.Context) error {
			count, err := m.Collection(name).EstimatedDocumentCount(ctx)
			total += count
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// DropCollections removes collections with their indexes.
func DropCollections(ctx context.Context, m *Mongo, collections ...string) error {
	for _, name := range collections {
		if err := m.Do(ctx, func(ctx context.Context) error { return m.Collection(name).Drop(ctx) }); err != nil {
			return err
		}
	}
	return nil
}
