package history

import (
	"context"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// Entry is one request as its row or its record tells it.
type Entry struct {
	ID       string
	Owner    *int64 // nil for one made anonymously
	Finished bool
	Made     *Made  // nil = it made nothing
	Request  any    // the module's own form of it
	Damage   string // why the row cannot be read beyond id and owner; "" = it can
}

// Made is what a request made, as its row or record describes it.
type Made struct {
	Name   string // below the request's prefix
	Size   int64
	SHA256 string // "" where none was noted
}

// Rows is a service's index over its requests, as Check compares and mends it.
type Rows interface {
	// ListEntries returns up to limit rows with ids after the given one, in
	// order of id, damaged ones too.
	ListEntries(ctx context.Context, after string, limit int) ([]Entry, error)
	// FindEntry returns one row, or a NotFound fault.
	FindEntry(ctx context.Context, id string) (Entry, error)
	// ListErasing returns up to limit erasures that have not ended, with ids
	// after the given one, in order of id.
	ListErasing(ctx context.Context, after string, limit int) ([]Erasing, error)
	// Erasing reports whether the request's erasure has begun and not ended.
	Erasing(ctx context.Context, id string) (bool, error)
	// StoreEntry makes the row one that the entry tells, new or in the place of
	// the one there.
	StoreEntry(ctx context.Context, entry Entry) error
	// Settle ends a request that nobody works on any more.
	Settle(ctx context.Context, id string) error
	// Erase removes the row, where there is one, and the request's objects.
	Erase(ctx context.Context, id string) error
}

// Erasing is an erasure that has not ended.
type Erasing struct {
	ID         string
	Processing bool // a request was still at work when it began
}

// Documents are the forms in which a service writes its requests down.
type Documents interface {
	// ReadRecord returns what a record tells, or an error for one that is not
	// the record of this finished request.
	ReadRecord(id string, data []byte) (Entry, error)
	// RecordOf returns a record made from a row, marked as such. sha256 is of
	// what the request made, "" where that is not there.
	RecordOf(row Entry, sha256 string, at time.Time) any
	// InputOf returns the parameters of a request as far as the entry knows
	// them, marked as made again.
	InputOf(entry Entry, at time.Time) any
	// Differences names the facts in which two entries of one request differ,
	// without their values.
	Differences(a, b Entry) []string
	// MadeNames lists everything that a request of this service can have made.
	MadeNames() []string
}

// Check compares rows, records, media and daily indexes of the ledger's service
// and reports every difference, which it has looked at a second time: what
// changes meanwhile is none. It merges rows and objects in the order of their
// ids, so that its memory does not grow with their number. An error says that
// the comparison could not be made.
func (l *Ledger) Check(ctx context.Context, report *check.Report, with CheckDeps) error {
	c := &checker{ledger: l, bucket: l.bucket, report: report, CheckDeps: with, area: report.Area(l.service), sums: map[daily]*lineSum{}}
	began := time.Now()
	defer func() { c.area.Took = time.Since(began) }()
	erasures, err := c.listErasing(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{c.compareRequests, c.settleSuspects, c.compareDays, c.compareTemporary} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return c.compareErasures(ctx, erasures, began)
}

// CheckDeps is what a comparison stands on.
type CheckDeps struct {
	Rows      Rows
	Documents Documents
	Accounts  check.Accounts
}

type checker struct {
	CheckDeps
	ledger *Ledger
	bucket blob.Bucket
	report *check.Report
	area   *check.Area

	suspects []string           // ids to be looked at again
	sums     map[daily]*lineSum // what index lines there should be, less those there are
}

// add reports a finding of this service.
func (c *checker) add(ctx context.Context, p problem) error {
	p.finding.Service = c.ledger.service
	return c.report.Add(ctx, p.finding, p.repair)
}

// problem is a finding with what would mend it.
type problem struct {
	finding check.Finding
	repair  check.Repair
}

const (
	maxErasing = 10_000 // erasures that one run looks at
	// erasureTime is how long an erasure may be under way beside a server.
	erasureTime = 5 * time.Second
)

func (c *checker) listErasing(ctx context.Context) ([]Erasing, error) {
	all, after := []Erasing{}, ""
	for len(all) < maxErasing {
		page, err := c.Rows.ListErasing(ctx, after, rowPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
	return all, nil
}

// compareErasures reports erasures that were there at the beginning and still
// are. Beside a server it gives them a moment.
func (c *checker) compareErasures(ctx context.Context, erasures []Erasing, began time.Time) error {
	if left := erasureTime - time.Since(began); len(erasures) > 0 && !c.report.Repair && left > 0 {
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, one := range erasures {
		at, _ := uid.Time(one.ID)
		if one.Processing && !c.report.Old(at) {
			continue // its request may still be at work
		}
		still, err := c.Rows.Erasing(ctx, one.ID)
		if err != nil {
			return err
		}
		if !still {
			continue
		}
		err = c.add(ctx, problem{
			check.Finding{Code: "erasure_unfinished", ID: one.ID, Detail: "its erasure began and has not ended"},
			func(ctx context.Context) (string, error) { return "erased", c.Rows.Erase(ctx, one.ID) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) compareTemporary(ctx context.Context) error {
	files, err := blob.Temporary(c.bucket)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !c.report.Old(file.ModifiedAt) {
			continue
		}
		err := c.add(ctx, problem{
			check.Finding{Code: "temporary_left", Key: ".tmp/" + file.Key, Detail: "a write that was interrupted left it"},
			func(context.Context) (string, error) { return "removed", blob.RemoveTemporary(c.bucket, file.Key) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settleSuspects looks again at the requests where something differed.
func (c *checker) settleSuspects(ctx context.Context) error {
	suspects := c.suspects
	c.suspects = nil
	for _, id := range suspects {
		seen, err := c.look(ctx, id)
		if err != nil {
			return err
		}
		for _, p := range seen.problems {
			if err := c.add(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxLooks is how often a request is looked at that changes meanwhile.
const maxLooks = 5

// look reads everything of one request anew and judges it. One that changes
// between the first and the last read is under way: it has no problem.
func (c *checker) look(ctx context.Context, id string) (verdict, error) {
	ctx, done := context.WithCancel(ctx)
	defer done() // else the deadline of each read stays in memory until it is over
	for range maxLooks {
		before, erasing, err := c.rowOf(ctx, id)
		if err != nil {
			return verdict{}, err
		}
		if erasing {
			return verdict{known: true, underWay: true}, nil
		}
		objects, err := c.bucket.List(ctx, Prefix(id)+"/", "", maxObjects)
		if err != nil {
			return verdict{}, err
		}
		seen, err := c.judgeAlone(ctx, request{id: id, row: before, objects: objects})
		if err != nil {
			return verdict{}, err
		}
		after, erasing, err := c.rowOf(ctx, id)
		if err != nil {
			return verdict{}, err
		}
		if !erasing && c.same(before, after) {
			return seen, nil
		}
	}
	return verdict{known: true, underWay: true}, nil
}

// maxObjects is how many objects of one request are looked at: a request has
// three or four.
const maxObjects = 100

func (c *checker) rowOf(ctx context.Context, id string) (row *Entry, erasing bool, err error) {
	found, err := c.Rows.FindEntry(ctx, id)
	switch {
	case err == nil:
		return &found, false, nil
	case !fault.Is(err, fault.NotFound):
		return nil, false, err
	}
	erasing, err = c.Rows.Erasing(ctx, id)
	return nil, erasing, err
}

func (c *checker) same(a, b *Entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Finished == b.Finished && a.Damage == b.Damage && (a.Damage != "" || len(c.Documents.Differences(*a, *b)) == 0)
}
