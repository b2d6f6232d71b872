package analytics

import (
	"context"
	"maps"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/archive"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// archivedCollections are those that something is in where anything is stored.
func archivedCollections() []string { return []string{eventDocuments, hourDocuments, batchDocuments} }

func derivedCollections() []string {
	return []string{everyoneDocuments, userDocuments, rankDocuments, accountDocuments, stateDocuments}
}

// completeDocuments makes the longer sums, which no archive holds, from the hours
// that were imported.
func (a Archive) completeDocuments(ctx context.Context) error {
	return NewMongoRepository(a.documents).(*mongoRepository).rebuildAll(ctx)
}

// exportDocuments waits until everything recorded before it is in the sums. Of
// what is recorded while it runs, sums can be ahead of the events, never behind.
func (a Archive) exportDocuments(ctx context.Context, out archive.Rows) error {
	began := time.Now()
	if err := a.settle(ctx, began); err != nil {
		return err
	}
	event := func(d eventDocument) string { return d.ID }
	err := database.EachDocument(ctx, a.documents, eventDocuments, event, func(d eventDocument) error {
		batch, known := uid.Time(d.Batch)
		tooNew := known && batch.After(began) || !a.until.IsZero() && d.TS.After(a.until)
		if tooNew || d.UserID != nil && !a.keeps(*d.UserID) {
			return nil
		}
		return out.Write(streamEvents, archivedEvent(d.event()))
	})
	if err != nil {
		return err
	}
	return a.exportHourDocuments(ctx, out)
}

// settle waits until no batch is under way that was begun before a moment. One
// that its process left is completed when its lease ends.
func (a Archive) settle(ctx context.Context, began time.Time) error {
	repository := NewMongoRepository(a.documents).(*mongoRepository)
	for deadline := time.Now().Add(2 * batchLease); ; {
		if err := repository.recover(ctx); err != nil {
			return err
		}
		var open int64
		err := a.documents.Do(ctx, func(ctx context.Context) (err error) {
			open, err = repository.batches().CountDocuments(ctx, bson.M{"_id": bson.M{"$ne": buildBatch}, "at": bson.M{"$lte": began.UTC()}})
			return err
		})
		if err != nil || open == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fault.New(fault.Unavailable, "documents_unavailable", "Usage events are still being added to the sums. Try again in a minute.")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// exportHourDocuments reads in the order of _id, in which the hours come one
// after the other, and sorts the documents of each.
func (a Archive) exportHourDocuments(ctx context.Context, out archive.Rows) error {
	var rows []hourRow
	latencies := map[rollupKey][][2]int64{}
	flush := func() error {
		for _, row := range sorted(rows) {
			archived := archivedHourOf(row)
			archived.Latencies = append(archived.Latencies, latencies[row.Key]...)
			if err := out.Write(streamHours, archived); err != nil {
				return err
			}
		}
		clear(latencies)
		rows = rows[:0]
		return nil
	}
	id := func(d hourDocument) string { text, _ := d.Rest["_id"].(string); return text }
	err := database.EachDocument(ctx, a.documents, hourDocuments, id, func(d hourDocument) error {
		row, buckets := d.row()
		if !a.keeps(d.UserID) || row.Requests == 0 { // all of it was moved to ErasedUser
			return nil
		}
		if len(rows) > 0 && rows[0].Key.Hour != d.Hour {
			if err := flush(); err != nil {
				return err
			}
		}
		rows = append(rows, row)
		latencies[row.Key] = buckets
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// row returns the figures and the latency buckets that are not empty.
func (d hourDocument) row() (hourRow, [][2]int64) {
	row := hourRow{
		Key:     rollupKey{Hour: d.Hour, UserID: d.UserID, Service: d.Service, Provider: d.Provider, Model: d.Model},
		FirstMS: d.FirstMS, LastMS: d.LastMS,
	}
	for _, field := range figureFields {
		*field.of(&row.Figures), _ = d.Rest[field.name].(int64)
	}
	var buckets [][2]int64
	for i := range latencyBuckets {
		if n, _ := d.Rest[bucketField(i)].(int64); n != 0 {
			buckets = append(buckets, [2]int64{int64(i), n})
		}
	}
	return row, buckets
}

func (a Archive) insertHourDocuments(ctx context.Context, page []archivedHour) error {
	documents := make([]bson.M, len(page))
	for i, archived := range page {
		hour, latencies := archived.rows()
		delta := newDelta(hour.Key, fieldsOf(hour.Figures))
		for _, bucket := range latencies {
			delta.Fields[bucketField(bucket.Bucket)] = bucket.Requests
		}
		change := changeOfHour(&delta, hour)
		document := bson.M{"_id": change.id, "first_ms": hour.FirstMS, "last_ms": hour.LastMS, "batches": bson.A{}}
		maps.Copy(document, change.key)
		for field, n := range change.fields {
			document[field] = n
		}
		documents[i] = document
	}
	return database.InsertDocuments(ctx, a.documents, hourDocuments, documents)
}

// importedBatch is the batch of events that came from an archive.
const importedBatch = "archive"

func (a Archive) insertEventDocuments(ctx context.Context, page []archivedEvent) error {
	documents := make([]eventDocument, len(page))
	for i, archived := range page {
		event := Event(archived)
		documents[i] = newEventDocument(&event, importedBatch)
	}
	return database.InsertDocuments(ctx, a.documents, eventDocuments, documents)
}
