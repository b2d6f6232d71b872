package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"llmhist/platform/logging"
	"llmhist/platform/outage"
)

const (
	// documentTimeout bounds one operation, waiting for a server and for a
	// connection included, so that a request hears of a server that is down or
	// hangs within three seconds.
	documentTimeout = patience
	// documentConnect bounds one attempt to connect, and the search for a
	// server that can be used.
	documentConnect = 1750 * time.Millisecond
	// documentOpening bounds OpenMongo, and the making of one index.
	documentOpening = 5 * time.Second
	// documentPool is the most connections to one server. Further operations
	// wait for one, as long as documentTimeout allows.
	documentPool = 64
)

// Mongo is an open database of a MongoDB server or one that speaks its wire
// protocol. Nothing on it needs transactions, TTL indexes or server-side time:
// repositories use operations that change one document atomically.
type Mongo struct {
	client *mongo.Client
	db     *mongo.Database
	logger *slog.Logger
	memory outage.Memory
	// oneSum says that the server is a FerretDB 1, which can only sum one field at a
	// time; see SumDocuments and ByIDAlone.
	oneSum bool
}

// OpenMongo connects to the server of uri and opens its database called name.
// An acknowledged write is in the journals of a majority of the servers. The
// error is one line that names MONGO_URI and holds no secret, and comes within
// five seconds.
func OpenMongo(ctx context.Context, uri logging.Secret, name string, logger *slog.Logger) (*Mongo, error) {
	settings := options.Client().ApplyURI(uri.Reveal())
	if err := settings.Validate(); err != nil { // its text may quote the URI
		return nil, errors.New("MONGO_URI is not a valid mongodb:// address, or the mongodb+srv:// name in it cannot be looked up")
	}
	if name == "" || len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00") {
		return nil, fmt.Errorf("%q cannot be the name of a MongoDB database", name)
	}
	journal := true
	acknowledged := &writeconcern.WriteConcern{W: "majority", Journal: &journal}
	settings.SetAppName("llmhist").SetMaxPoolSize(documentPool).
		SetConnectTimeout(documentConnect).SetServerSelectionTimeout(documentConnect).
		SetWriteConcern(acknowledged).SetReadConcern(readconcern.Local()).SetReadPreference(readpref.Primary())
	client, err := mongo.Connect(settings)
	if err != nil {
		return nil, errors.New("cannot connect to MongoDB (MONGO_URI): " + redactMongo(err, uri))
	}
	m := &Mongo{client: client, db: client.Database(name), logger: logger}
	opening, cancel := context.WithTimeout(ctx, documentOpening)
	defer cancel()
	err = m.examine(opening)
	if err != nil {
		_ = m.Close(ctx)
		return nil, errors.New("cannot use MongoDB (MONGO_URI): " + redactMongo(err, uri))
	}
	return m, nil
}

// examine shows that the server answers and that the user may read the
// database, which a ping alone would not, and learns what server it is.
func (m *Mongo) examine(ctx context.Context) error {
	if err := m.Ping(ctx); err != nil {
		return err
	}
	var server struct {
		FerretDB1 string `bson:"ferretdbVersion"`
	}
	if err := m.db.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&server); err != nil {
		return err
	}
	m.oneSum = server.FerretDB1 != ""
	return m.db.RunCommand(ctx, bson.D{{Key: "count", Value: "access"}}).Err()
}

// Logger returns the log of what is done with the database.
func (m *Mongo) Logger() *slog.Logger { return m.logger }

// ByIDAlone reports whether the server looks through a whole collection for any
// filter but one of _id alone, as FerretDB 1 does.
func (m *Mongo) ByIDAlone() bool { return m.oneSum }

// Ping reports whether the server answers and takes writes.
func (m *Mongo) Ping(ctx context.Context) error { return m.client.Ping(ctx, readpref.Primary()) }

// Close closes every connection after the operations on them, for which it
// waits as long as one may take.
func (m *Mongo) Close(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), documentTimeout)
	defer cancel()
	return m.client.Disconnect(bounded)
}

// Collection returns the collection called name. Operations on it are run
// inside of Do.
func (m *Mongo) Collection(name string) *mongo.Collection { return m.db.Collection(name) }

// Drop removes the database with everything in it.
func (m *Mongo) Drop(ctx context.Context) error { return m.Do(ctx, m.db.Drop) }

// Index is an index of a collection.
type Index struct {
	Keys   bson.D // field and 1 or -1
	Unique bool
}

// EnsureIndexes creates the indexes that the collection does not have, one by
// one: FerretDB 1.24 breaks off when some of several exist. Its errors name
// MONGO_URI, for it is called at start.
func (m *Mongo) EnsureIndexes(ctx context.Context, collection string, indexes ...Index) error {
	for _, index := range indexes {
		model := mongo.IndexModel{Keys: index.Keys}
		if index.Unique {
			model.Options = options.Index().SetUnique(true)
		}
		if err := m.createIndex(ctx, collection, model); err != nil {
			return fmt.Errorf("cannot use MongoDB (MONGO_URI): create the indexes of %s: %w", collection, MongoFault(err))
		}
	}
	return nil
}

func (m *Mongo) createIndex(ctx context.Context, collection string, index mongo.IndexModel) error {
	bounded, cancel := context.WithTimeout(ctx, documentOpening)
	defer cancel()
	_, err := m.Collection(collection).Indexes().CreateOne(bounded, index)
	return err
}

// Do runs one operation. What it returns is a fault, or the error of ctx when
// that has ended; IsNotFound and IsDuplicate see through it. After a fault of
// kind Unavailable nobody knows whether a write was done.
func (m *Mongo) Do(ctx context.Context, operation func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, operationTime(ctx, m.memory.Patience(documentTimeout)))
	defer cancel()
	start := time.Now()
	err := operation(bounded)
	if err == nil {
		m.memory.Answered()
		if took := time.Since(start); took > slowQuery {
			m.logger.WarnContext(ctx, "slow document operation", "took_ms", took.Milliseconds())
		}
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if bounded.Err() != nil {
		m.memory.Silent(start)
	} else if !documentsUnreachable(err) {
		m.memory.Answered()
	}
	return MongoFault(err)
}

// Documents returns everything a query finds, as one operation of Do.
func Documents[Document any](ctx context.Context, m *Mongo, query func(ctx context.Context) (*mongo.Cursor, error)) ([]Document, error) {
	var list []Document
	err := m.Do(ctx, func(ctx context.Context) error {
		cursor, err := query(ctx)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &list)
	})
	return list, err
}

// EachPage visits what a query finds, a batch of its cursor at a time and in its
// order, without ever holding more. The query and the reading of each batch are one
// operation of Do each; options.Find().SetBatchSize bounds a batch.
func EachPage[Document any](ctx context.Context, m *Mongo, query func(ctx context.Context) (*mongo.Cursor, error), visit func([]Document) error) error {
	var cursor *mongo.Cursor
	err := m.Do(ctx, func(ctx context.Context) (err error) {
		cursor, err = query(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		_ = m.Do(context.WithoutCancel(ctx), func(ctx context.Context) error { return cursor.Close(ctx) })
	}()
	for {
		var page []Document
		err := m.Do(ctx, func(ctx context.Context) (err error) {
			page, err = nextPage[Document](ctx, cursor)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
	}
}

// nextPage reads the next batch of a cursor; nothing at its end.
func nextPage[Document any](ctx context.Context, cursor *mongo.Cursor) ([]Document, error) {
	var page []Document
	for cursor.Next(ctx) {
		var document Document
		if err := cursor.Decode(&document); err != nil {
			return nil, err
		}
		page = append(page, document)
		if cursor.RemainingBatchLength() == 0 {
			break
		}
	}
	return page, cursor.Err()
}

// redactMongo returns the first line of the error text without the password or
// the URI in it.
func redactMongo(err error, uri logging.Secret) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	secrets := []string{uri.Reveal()}
	if _, password, set := strings.Cut(userOf(uri.Reveal()), ":"); set {
		plain, unescapeErr := url.PathUnescape(password)
		if unescapeErr != nil {
			plain = password
		}
		secrets = append(secrets, password, plain, url.QueryEscape(plain), url.PathEscape(plain))
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// userOf returns the user:password of a MongoDB URI, which is not always a URL: it
// can name several hosts. As the driver has it, they end at the first @.
func userOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	user, _, has := strings.Cut(rest, "@")
	if !has {
		return ""
	}
	return user
}
