package speech

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"llmhist/platform/check"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/uid"
)

// Check compares the rows of conversions with their objects and reports every
// difference. Only with a report that repairs does it change anything, and then
// no server may be at work. It needs the DB, Bucket and Logger of deps.
func Check(ctx context.Context, deps Deps, report *check.Report, accounts check.Accounts) error {
	rows := newGORMRepository(deps.DB)
	s := &service{
		repository: rows, ledger: history.New(deps.Bucket, historyName), logger: deps.Logger, now: report.Now, newID: uid.New,
		living: func(context.Context) (map[string]bool, error) { return nil, nil }, // who repairs is alone
	}
	return s.ledger.Check(ctx, report, history.CheckDeps{Rows: checkedRows{s, rows}, Documents: documents{}, Accounts: accounts})
}

// checkedRows is the table of conversions as history compares it.
type checkedRows struct {
	service *service
	*gormRepository
}

// entryOf returns the conversion as history compares it.
func entryOf(c Conversion, sha256 string) history.Entry {
	entry := history.Entry{ID: c.ID, Owner: c.UserID, Request: c, Finished: c.Status != StatusProcessing}
	if c.Status == StatusCompleted {
		entry.Made = &history.Made{Name: mediaName(c.Format), Size: c.Size, SHA256: sha256}
	}
	return entry
}

// FindEntry returns one row; see history.Rows.
func (r checkedRows) FindEntry(ctx context.Context, id string) (history.Entry, error) {
	row, err := r.findRow(ctx, id)
	if err != nil {
		return history.Entry{}, err
	}
	return row.entry(), nil
}

// Erasing reports an unfinished erasure; see history.Rows.
func (r checkedRows) Erasing(ctx context.Context, id string) (bool, error) {
	_, err := r.FindErasure(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// ListErasing lists unfinished erasures; see history.Rows.
func (r checkedRows) ListErasing(ctx context.Context, after string, limit int) ([]history.Erasing, error) {
	erasures, err := r.ListErasures(ctx, Filter{Everyone: true}, after, limit)
	list := make([]history.Erasing, len(erasures))
	for i, one := range erasures {
		list[i] = history.Erasing{ID: one.ID, Processing: one.Processing}
	}
	return list, err
}

// StoreEntry stores a row that a record tells; see history.Rows.
func (r checkedRows) StoreEntry(ctx context.Context, entry history.Entry) error {
	c, ok := entry.Request.(Conversion)
	if !ok {
		return errors.New("this is no conversion")
	}
	c.Bucket = r.service.ledger.Bucket().Name() // the record was perhaps written in one of another name
	return r.Replace(ctx, c)
}

// Settle ends a conversion nobody works on any more; see history.Rows.
func (r checkedRows) Settle(ctx context.Context, id string) error {
	c, err := r.Find(ctx, id)
	if err != nil {
		return err
	}
	return r.service.reconcile(ctx, c)
}

// Erase removes a conversion and its objects; see history.Rows.
func (r checkedRows) Erase(ctx context.Context, id string) error {
	erasure, err := r.BeginErasure(ctx, id)
	if fault.Is(err, fault.NotFound) {
		erasure, err = Erasure{ID: id}, nil
	}
	if err != nil {
		return err
	}
	return r.service.eraseObjects(ctx, erasure)
}

// documents are the documents of conversions as history compares them.
type documents struct{}

// ReadRecord reads a record; see history.Documents.
func (documents) ReadRecord(id string, data []byte) (history.Entry, error) {
	var record recordDocument
	if err := json.Unmarshal(data, &record); err != nil {
		return history.Entry{}, err
	}
	if record.ID != id || !record.final() {
		return history.Entry{}, errors.New("this is not the record of this request")
	}
	return entryOf(record.conversion(), record.SHA256), nil
}

// RecordOf makes a record from a row; see history.Documents.
func (documents) RecordOf(row history.Entry, sha256 string, at time.Time) any {
	c, _ := row.Request.(Conversion)
	record := recordOf(c, sha256)
	record.RestoredAt = &at
	return record
}

// InputOf makes the parameters again; see history.Documents.
func (documents) InputOf(entry history.Entry, at time.Time) any {
	c, _ := entry.Request.(Conversion)
	input := inputOf(c)
	input.RestoredAt = &at
	return input
}

// MadeNames lists what a conversion can have made; see history.Documents.
func (documents) MadeNames() []string { return everyMediaName() }

// Differences names the facts that differ; see history.Documents. The bucket is
// none: rows that were copied or restored name the new one, their records the
// one they were written in.
func (documents) Differences(one, other history.Entry) []string {
	a, _ := one.Request.(Conversion)
	b, _ := other.Request.(Conversion)
	failureA, failureB := orZero(a.Failure), orZero(b.Failure)
	return check.Differing(
		check.Fact("request_id", a.RequestID, b.RequestID), check.Fact("text", a.Text, b.Text),
		check.Fact("language", a.Language, b.Language), check.Fact("voice", a.Voice, b.Voice),
		check.Fact("provider", a.Provider, b.Provider), check.Fact("model", a.Model, b.Model),
		check.Fact("speed", a.Speed, b.Speed), check.Fact("format", a.Format, b.Format), check.Fact("status", a.Status, b.Status),
		check.Fact("error_code", failureA.Code, failureB.Code), check.Fact("error_detail", failureA.Detail, failureB.Detail),
		check.Fact("duration_seconds", a.Duration, b.Duration), check.Fact("file_size_bytes", a.Size, b.Size),
		check.Fact("latency_ms", a.Latency.Milliseconds(), b.Latency.Milliseconds()),
		check.Fact("status_code", a.StatusCode, b.StatusCode), check.Fact("cost_usd", a.CostUSD, b.CostUSD),
		check.Moment("created_at", a.CreatedAt, b.CreatedAt), check.Moment("updated_at", a.UpdatedAt, b.UpdatedAt),
	)
}
