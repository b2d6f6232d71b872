package transfer

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
)

const markerCollection = "installation"

type markerDocument struct {
	ID  string `bson:"_id"`
	Set string `bson:"set"`
}

// findMarkerDocument returns the set of the transfer that fills db, "" for none.
func findMarkerDocument(ctx context.Context, db *database.Mongo) (string, error) {
	var found markerDocument
	err := db.Do(ctx, func(ctx context.Context) error {
		return db.Collection(markerCollection).FindOne(ctx, bson.M{"_id": markerKey}).Decode(&found)
	})
	if database.IsNotFound(err) {
		return "", nil
	}
	return found.Set, err
}

func putMarkerDocument(ctx context.Context, db *database.Mongo, set string) error {
	return db.Do(ctx, func(ctx context.Context) error {
		_, err := db.Collection(markerCollection).ReplaceOne(ctx, bson.M{"_id": markerKey}, markerDocument{markerKey, set},
			options.Replace().SetUpsert(true))
		return err
	})
}

func deleteMarkerDocument(ctx context.Context, db *database.Mongo) error {
	return db.Do(ctx, func(ctx context.Context) error {
		_, err := db.Collection(markerCollection).DeleteOne(ctx, bson.M{"_id": markerKey})
		return err
	})
}
