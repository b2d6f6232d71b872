package analytics

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"llmhist/platform/database"
	"llmhist/platform/uid"
)

// mongoRepository keeps analytics in a document database without transactions:
//
//   - analytics_events has one document per event. Its _id makes an event count
//     once; it names the batch that stored it.
//   - analytics_hours has one document per hour, user, service, provider and
//     model with the figures, the latency histogram, and the batches that are
//     being added to it.
//   - analytics_batches has one document per batch under way: written before the
//     batch, removed after it.
//
// Everything else is derived from the hours, and changed by the batches that
// change them:
//
//   - analytics_everyone has the sums over all users by hour, day and month.
//   - analytics_sums has those of each user by day and month.
//   - analytics_ranks has the requests of each account by day and month, to any
//     service.
//   - analytics_accounts has when each account came first and last.
//
// A batch is added exactly once, wherever its process ends; see batchDocument.
type mongoRepository struct {
	db   *database.Mongo
	now  func() time.Time
	turn chan struct{} // held by the one batch of this process that is at work
	byID bool          // see addByID

	limits buildLimits
}

// NewMongoRepository returns the repository on a document database. EnsureIndexes
// was called on it before.
func NewMongoRepository(db *database.Mongo) Repository {
	return &mongoRepository{db: db, now: time.Now, turn: make(chan struct{}, 1), byID: db.ByIDAlone(), limits: usualBuild()}
}

const (
	eventDocuments = "analytics_events"
	hourDocuments  = "analytics_hours"
	batchDocuments = "analytics_batches"

	everyoneDocuments = "analytics_everyone"
	userDocuments     = "analytics_sums"
	rankDocuments     = "analytics_ranks"
	accountDocuments  = "analytics_accounts"
	stateDocuments    = "analytics_state"
)

// EnsureIndexes creates the indexes of analytics in a document database and, where
// a release without longer sums kept hours there, makes those from them. It is
// called once before the module is used on it, as migrations are on SQL, and may
// be called by several servers at once.
func EnsureIndexes(ctx context.Context, db *database.Mongo) error {
	ascending := func(keys ...string) database.Index {
		var index database.Index
		for _, key := range keys {
			index.Keys = append(index.Keys, bson.E{Key: key, Value: 1})
		}
		return index
	}
	err := errors.Join(
		db.EnsureIndexes(ctx, eventDocuments, ascending("ts"), ascending("user_id")),
		db.EnsureIndexes(ctx, hourDocuments, ascending("hour"), ascending("user_id", "hour")),
		db.EnsureIndexes(ctx, batchDocuments, ascending("at")),
		db.EnsureIndexes(ctx, everyoneDocuments, ascending("grain", "start")),
		db.EnsureIndexes(ctx, userDocuments, ascending("user_id", "grain", "start"), ascending("grain", "start")),
		db.EnsureIndexes(ctx, rankDocuments, ascending("grain", "start", "requests"), ascending("user_id", "grain", "start")),
		db.EnsureIndexes(ctx, accountDocuments, ascending("last_ms"), ascending("user_id")))
	if err != nil {
		return err
	}
	return NewMongoRepository(db).(*mongoRepository).completeSums(ctx)
}

func (r *mongoRepository) events() *mongo.Collection  { return r.db.Collection(eventDocuments) }
func (r *mongoRepository) hours() *mongo.Collection   { return r.db.Collection(hourDocuments) }
func (r *mongoRepository) batches() *mongo.Collection { return r.db.Collection(batchDocuments) }

const (
	// rollTime bounds the adding of a batch whose events are stored. It and the
	// storing end long before batchLease does.
	rollTime = 20 * time.Second
	// batchEvents is how many events a batch has at most. Each can be in an hour, a
	// day and a month of its own, and a slow server needs seconds for them.
	batchEvents = 200
)

// Append stores at most batchEvents events at a time. Events that are stored when
// it fails stay, and are added to the sums by the next call that comes after
// batchLease.
func (r *mongoRepository) Append(ctx context.Context, events []Event) error {
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	order := slices.Clone(events)
	slices.SortStableFunc(order, func(a, b Event) int { return strings.Compare(a.ID, b.ID) })
	order = slices.CompactFunc(order, func(a, b Event) bool { return a.ID == b.ID })
	for part := range slices.Chunk(order, batchEvents) {
		if err := r.appendBatch(ctx, part); err != nil {
			return err
		}
	}
	// What it cannot repair now it will try again; DeleteEvents says why.
	_ = r.recover(ctx)
	return nil
}

// enter waits for the turn of a batch. Batches of one process would only meet in
// the same hours and make each other wait there; and FerretDB 1, which does not
// add atomically, is exact for one process this way.
func (r *mongoRepository) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case r.turn <- struct{}{}:
		return func() { <-r.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *mongoRepository) appendBatch(ctx context.Context, events []Event) error {
	batch := batchDocument{ID: uid.New(r.now()), At: stored(r.now())}
	documents := make([]any, len(events))
	for i := range events {
		batch.Events = append(batch.Events, events[i].ID)
		documents[i] = newEventDocument(&events[i], batch.ID)
	}
	if err := r.insertBatch(ctx, batch); err != nil {
		return err
	}
	stored, err := r.insertEvents(ctx, events, documents)
	if err != nil {
		return err
	}
	// The events are stored: adding them is no longer the caller's to stop.
	rolling, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollTime)
	defer cancel()
	return r.roll(rolling, batch, deltasOf(stored))
}

// insertEvents returns the events that were not stored before.
func (r *mongoRepository) insertEvents(ctx context.Context, events []Event, documents []any) ([]Event, error) {
	err := r.db.Do(ctx, func(ctx context.Context) error {
		_, err := r.events().InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
		return err
	})
	if err == nil {
		return events, nil
	}
	known, only := duplicates(err)
	if !only {
		return nil, err
	}
	var stored []Event
	for i, e := range events {
		if !known[i] {
			stored = append(stored, e)
		}
	}
	return stored, nil
}

// duplicates returns which of many writes were refused because their key
// exists, and whether nothing else was wrong.
func duplicates(err error) (indexes map[int]bool, only bool) {
	var many mongo.BulkWriteException
	if !errors.As(err, &many) || many.WriteConcernError != nil {
		return nil, false
	}
	indexes = make(map[int]bool, len(many.WriteErrors))
	for _, one := range many.WriteErrors {
		if !mongo.IsDuplicateKeyError(one) {
			return nil, false
		}
		indexes[one.Index] = true
	}
	return indexes, len(indexes) > 0
}

// DeleteEvents also repairs what an interrupted call left.
func (r *mongoRepository) DeleteEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	if err := r.recover(ctx); err != nil {
		return 0, err
	}
	ids, err := r.eventIDs(ctx, bson.M{"ts": bson.M{"$lt": before.UTC()}}, limit)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	var deleted int64
	err = r.db.Do(ctx, func(ctx context.Context) error {
		result, err := r.events().DeleteMany(ctx, bson.M{"_id": bson.M{"$in": ids}})
		if err == nil {
			deleted = result.DeletedCount
		}
		return err
	})
	return deleted, err
}

// identified is the id of a document of any collection.
type identified struct {
	ID string `bson:"_id"`
}

// eventIDs returns the ids of at most limit events, the oldest first.
func (r *mongoRepository) eventIDs(ctx context.Context, which bson.M, limit int) ([]string, error) {
	list, err := database.Documents[identified](ctx, r.db, func(ctx context.Context) (*mongo.Cursor, error) {
		how := options.Find().SetSort(bson.D{{Key: "ts", Value: 1}}).SetLimit(int64(limit)).SetProjection(bson.M{"_id": 1})
		return r.events().Find(ctx, which, how)
	})
	ids := make([]string, len(list))
	for i, one := range list {
		ids[i] = one.ID
	}
	return ids, err
}

type eventDocument struct {
	ID           string    `bson:"_id"`
	Batch        string    `bson:"batch"` // the one that stored it
	TS           time.Time `bson:"ts"`
	UserID       *int64    `bson:"user_id"` // null anonymous, ErasedUser an erased account
	Service      string    `bson:"service"`
	Action       string    `bson:"action"`
	RequestID    string    `bson:"request_id"`
	Provider     string    `bson:"provider"`
	Model        string    `bson:"model"`
	Status       Status    `bson:"status"`
	LatencyMS    int64     `bson:"latency_ms"`
	TTFTMS       *int64    `bson:"ttft_ms"`
	InputTokens  int64     `bson:"input_tokens"`
	OutputTokens int64     `bson:"output_tokens"`
	InputBytes   int64     `bson:"input_bytes"`
	OutputBytes  int64     `bson:"output_bytes"`
	CostNanoUSD  int64     `bson:"cost_nano_usd"`
	HTTPStatus   int       `bson:"http_status"`
	Code         string    `bson:"code"`
	ObjectID     string    `bson:"object_id"`
	Estimated    bool      `bson:"estimated"`
}

func newEventDocument(e *Event, batch string) eventDocument {
	return eventDocument{
		ID: e.ID, Batch: batch, TS: e.At.UTC(), UserID: e.UserID, Service: e.Service, Action: e.Action, RequestID: e.RequestID,
		Provider: e.Provider, Model: e.Model, Status: e.Status, LatencyMS: e.LatencyMS, TTFTMS: e.TTFTMS,
		InputTokens: e.InputTokens, OutputTokens: e.OutputTokens, InputBytes: e.InputBytes, OutputBytes: e.OutputBytes,
		CostNanoUSD: e.CostNanoUSD, HTTPStatus: e.HTTPStatus, Code: e.Code, ObjectID: e.ObjectID, Estimated: e.Estimated,
	}
}

func (d *eventDocument) event() Event {
	return Event{
		ID: d.ID, At: d.TS.UTC(), UserID: d.UserID, Service: d.Service, Action: d.Action, RequestID: d.RequestID,
		Provider: d.Provider, Model: d.Model, Status: d.Status, LatencyMS: d.LatencyMS, TTFTMS: d.TTFTMS,
		InputTokens: d.InputTokens, OutputTokens: d.OutputTokens, InputBytes: d.InputBytes, OutputBytes: d.OutputBytes,
		CostNanoUSD: d.CostNanoUSD, HTTPStatus: d.HTTPStatus, Code: d.Code, ObjectID: d.ObjectID, Estimated: d.Estimated,
	}
}
