package analytics

import (
	"encoding/json"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// deltaDocument is what is added to one hour. Fields are those of the hour's
// document, latency buckets included.
type deltaDocument struct {
	Hour     int64            `bson:"hour"`
	UserID   int64            `bson:"user_id"`
	Service  string           `bson:"service"`
	Provider string           `bson:"provider"`
	Model    string           `bson:"model"`
	Fields   map[string]int64 `bson:"fields"`
	FirstMS  int64            `bson:"first_ms"` // 0 = leaves the hour's as they are
	LastMS   int64            `bson:"last_ms"`
}

// deltasOf sums events, of which each has another id, by hour.
func deltasOf(events []Event) []deltaDocument {
	stored := make(map[string]bool, len(events))
	for i := range events {
		stored[events[i].ID] = true
	}
	hours, latencies := rollUp(events, stored)
	list := make([]deltaDocument, len(hours))
	index := make(map[rollupKey]int, len(hours))
	for i, row := range hours {
		list[i] = newDelta(row.Key, fieldsOf(row.Figures))
		list[i].FirstMS, list[i].LastMS = row.FirstMS, row.LastMS
		index[row.Key] = i
	}
	for _, row := range latencies {
		list[index[row.Key]].Fields[bucketField(row.Bucket)] = row.Requests
	}
	return list
}

func newDelta(key rollupKey, fields map[string]int64) deltaDocument {
	return deltaDocument{Hour: key.Hour, UserID: key.UserID, Service: key.Service, Provider: key.Provider, Model: key.Model, Fields: fields}
}

// rows returns the delta as rows of hours, with times that no other one exceeds
// where it leaves them as they are.
func (d *deltaDocument) rows() (hourRow, []latencyRow) {
	hour := hourRow{Key: rollupKey{d.Hour, d.UserID, d.Service, d.Provider, d.Model}, FirstMS: d.FirstMS, LastMS: d.LastMS}
	if d.FirstMS == 0 {
		hour.FirstMS, hour.LastMS = math.MaxInt64, math.MinInt64
	}
	for _, field := range figureFields {
		*field.of(&hour.Figures) = d.Fields[field.name]
	}
	var latencies []latencyRow
	for bucket := range latencyBuckets {
		if n := d.Fields[bucketField(bucket)]; n != 0 {
			latencies = append(latencies, latencyRow{hour.Key, bucket, n})
		}
	}
	return hour, latencies
}

// sumChange is what is added to one document of any sums.
type sumChange struct {
	collection      string
	id              string
	key             bson.M           // what a new document is of
	fields          map[string]int64 // to be added
	firstMS, lastMS int64            // extend those of the document, unless first is later than last
	noted           bool             // false: to make it again changes nothing
}

// changesOf returns what deltas of hours add to the hours and to all that is
// derived from them, in the order of the collections. What is only moved from
// one user to another adds nothing to sums over everyone.
func changesOf(deltas []deltaDocument) []sumChange {
	var list []sumChange
	var hours []hourRow
	var latencies []latencyRow
	for i := range deltas {
		hour, buckets := deltas[i].rows()
		list = append(list, changeOfHour(&deltas[i], hour))
		hours, latencies = append(hours, hour), append(latencies, buckets...)
	}
	return append(list, derivedChanges(hours, latencies)...)
}

func changeOfHour(d *deltaDocument, hour hourRow) sumChange {
	return sumChange{
		collection: hourDocuments, id: documentID(d.Hour, d.UserID, d.Service, d.Provider, d.Model), noted: true,
		key: bson.M{"hour": d.Hour, "day": grainDay.start(d.Hour), "user_id": d.UserID,
			"service": d.Service, "provider": d.Provider, "model": d.Model},
		fields: d.Fields, firstMS: hour.FirstMS, lastMS: hour.LastMS,
	}
}

// derivedChanges returns what hours add to all that is made from them.
func derivedChanges(hours []hourRow, latencies []latencyRow) []sumChange {
	var ofEveryone, ofUsers []sumChange
	for _, row := range coarsen(hours, latencies, newRequests) {
		change := changeOfSums(row)
		switch {
		case len(change.fields) == 0: // moved
		case row.Key.UserID == everyoneUser:
			ofEveryone = append(ofEveryone, change)
		default:
			ofUsers = append(ofUsers, change)
		}
	}
	list := append(ofEveryone, ofUsers...)
	for _, row := range rank(hours) {
		if row.Service == "" && row.Requests != 0 {
			list = append(list, changeOfRank(row))
		}
	}
	for _, row := range accountsOf(hours) {
		if row.Service == "" && row.FirstMS <= row.LastMS {
			list = append(list, sumChange{
				collection: accountDocuments, id: strconv.FormatInt(row.UserID, 10), key: bson.M{"user_id": row.UserID},
				firstMS: row.FirstMS, lastMS: row.LastMS,
			})
		}
	}
	return list
}

func changeOfSums(row coarseRow) sumChange {
	key, collection := row.Key, userDocuments
	if key.UserID == everyoneUser {
		collection = everyoneDocuments
	}
	fields := fieldsOf(row.Figures)
	for bucket, n := range row.Latencies {
		if n != 0 {
			fields[bucketField(bucket)] = n
		}
	}
	return sumChange{
		collection: collection, id: documentID(key.Grain, key.Hour, key.UserID, key.Service, key.Provider, key.Model), noted: true,
		key: bson.M{"grain": int64(key.Grain), "start": key.Hour, "day": grainDay.start(key.Hour), "user_id": key.UserID,
			"service": key.Service, "provider": key.Provider, "model": key.Model},
		fields: fields, firstMS: row.FirstMS, lastMS: row.LastMS,
	}
}

func changeOfRank(row rankRow) sumChange {
	return sumChange{
		collection: rankDocuments, id: documentID(row.Grain, row.Start, row.UserID), noted: true,
		key:    bson.M{"grain": int64(row.Grain), "start": row.Start, "user_id": row.UserID},
		fields: map[string]int64{"requests": row.Requests}, firstMS: math.MaxInt64, lastMS: math.MinInt64,
	}
}

// documentID returns an _id. JSON keeps any two keys apart, whatever is in their
// texts.
func documentID(key ...any) string {
	text, err := json.Marshal(key)
	if err != nil { // numbers and strings always have JSON
		panic(err)
	}
	return string(text)
}

// without selects the document unless it has the note of the batch.
func (c *sumChange) without(batch string) bson.M {
	which := bson.M{"_id": c.id}
	if c.noted {
		which["batches"] = bson.M{"$ne": batch}
	}
	return which
}

// update returns the update that makes the change and notes the batch.
func (c *sumChange) update(batch string) bson.M {
	update := bson.M{"$setOnInsert": c.key}
	if c.noted {
		update["$push"] = bson.M{"batches": batch}
	}
	return c.extend(update)
}

// alone returns the update for when no batch makes the change.
func (c *sumChange) alone() bson.M { return c.extend(bson.M{"$setOnInsert": c.key}) }

func (c *sumChange) extend(update bson.M) bson.M {
	if len(c.fields) > 0 {
		update["$inc"] = c.fields
	}
	if c.firstMS <= c.lastMS {
		update["$min"], update["$max"] = bson.M{"first_ms": c.firstMS}, bson.M{"last_ms": c.lastMS}
	}
	return update
}

// fieldsOf returns the figures that are not zero by the names of their fields.
func fieldsOf(f Figures) map[string]int64 {
	fields := map[string]int64{}
	for _, field := range figureFields {
		if n := *field.of(&f); n != 0 {
			fields[field.name] = n
		}
	}
	return fields
}
