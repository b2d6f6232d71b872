package analytics

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"llmhist/platform/database"
)

// comparisons is how often a month is compared that is being added to.
const comparisons = 5

// ListStaleMonths compares the totals of every month, and again those that differ:
// nothing stands still meanwhile; see checked.
func (r *mongoRepository) ListStaleMonths(ctx context.Context) ([]time.Time, error) {
	ctx = database.AllowDocuments(ctx, comparing)
	all := Period{time.Time{}, latest}
	stored, err := r.storedTotals(ctx, all)
	if err != nil {
		return nil, err
	}
	derived, err := r.derivedTotals(ctx, all)
	if err != nil {
		return nil, err
	}
	var months []time.Time
	for _, month := range stored.differing(derived) {
		stale, err := r.isStale(ctx, month)
		if err != nil {
			return nil, err
		}
		if stale {
			months = append(months, month)
		}
	}
	return months, nil
}

// isStale reports whether the sums of a month are not those of its hours, in a
// moment in which no batch is at work on the month: none was before and after,
// and the sums did not change between. While there is no such moment it cannot be
// told.
func (r *mongoRepository) isStale(ctx context.Context, month time.Time) (bool, error) {
	period := Period{month, BucketMonth.next(month)}
	for range comparisons {
		busy, err := r.isBusy(ctx, month)
		if err != nil {
			return false, err
		}
		before, err := r.storedTotals(ctx, period)
		if err != nil {
			return false, err
		}
		derived, err := r.derivedTotals(ctx, period)
		if err != nil {
			return false, err
		}
		after, err := r.storedTotals(ctx, period)
		if err != nil {
			return false, err
		}
		if len(after.differing(derived)) == 0 {
			return false, nil
		}
		busyStill, err := r.isBusy(ctx, month)
		if err != nil || !busy && !busyStill && len(after.differing(before)) == 0 {
			return err == nil, err
		}
		if err := pause(ctx, buildPause); err != nil {
			return false, err
		}
	}
	return false, nil
}

// isBusy reports whether a batch is at work on a month.
func (r *mongoRepository) isBusy(ctx context.Context, month time.Time) (bool, error) {
	hours, _, err := r.ListPending(ctx, r.now())
	for hour := range hours {
		if grainMonth.start(hour) == month.Unix() {
			return true, err
		}
	}
	return false, err
}

// storedTotals sums what is derived from the hours of whole months.
func (r *mongoRepository) storedTotals(ctx context.Context, period Period) (monthTotals, error) {
	type kind struct {
		Grain int64 `bson:"grain"`
		Start int64 `bson:"start"`
	}
	totals := monthTotals{}
	for _, c := range []struct {
		collection      string
		everyone, ranks bool
		fields          []string
	}{{everyoneDocuments, true, false, summedFields()}, {userDocuments, false, false, summedFields()}, {rankDocuments, false, true, []string{"requests"}}} {
		sums, err := database.SumDocuments[kind](ctx, r.db, database.Sums{
			Collection: c.collection, Match: longerSumsOf(period),
			By: bson.D{{Key: "grain", Value: "$grain"}, {Key: "start", Value: "$start"}}, Fields: c.fields,
		})
		if err != nil {
			return nil, err
		}
		for _, sum := range sums {
			totals.of(monthKind{sum.Key.Start, grain(sum.Key.Grain), c.everyone, c.ranks}).addFields(sum.Fields)
		}
	}
	return totals, nil
}

// derivedTotals sums the hours of whole months as what is derived from them.
func (r *mongoRepository) derivedTotals(ctx context.Context, period Period) (monthTotals, error) {
	totals := monthTotals{}
	hours := bson.M{"hour": bson.M{"$gte": period.From.Unix(), "$lt": period.To.Unix()}}
	all, err := database.SumDocuments[int64](ctx, r.db, database.Sums{Collection: hourDocuments, Match: hours, By: "$day", Fields: summedFields()})
	if err != nil {
		return nil, err
	}
	for _, sum := range all {
		for _, kind := range kindsOf(sum.Key) {
			totals.of(kind).addFields(sum.Fields)
		}
	}
	hours["user_id"] = ofAccounts()
	accounts, err := database.SumDocuments[int64](ctx, r.db, database.Sums{Collection: hourDocuments, Match: hours, By: "$day", Fields: []string{"requests"}})
	if err != nil {
		return nil, err
	}
	for _, sum := range accounts {
		for _, g := range []grain{grainDay, grainMonth} {
			totals.of(monthKind{month: sum.Key, grain: g, ranks: true}).addFields(sum.Fields)
		}
	}
	return totals, nil
}

// addFields adds figures and latency buckets by the names of their fields.
func (t *total) addFields(fields map[string]int64) {
	t.Figures.Add(figuresOf(fields))
	for bucket := range latencyBuckets {
		t.Histogram[bucket] += fields[bucketField(bucket)]
	}
}
