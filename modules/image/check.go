package image

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

// Check compares the rows of images with their objects and reports every
// difference. Only with a report that repairs does it change anything, and then
// no server may be at work. It needs the DB, Bucket and Logger of deps.
func Check(ctx context.Context, deps Deps, report *check.Report, accounts check.Accounts) error {
	rows := &sqlRepository{db: deps.DB}
	s := &service{
		repository: rows, ledger: history.New(deps.Bucket, "image"), logger: deps.Logger, now: report.Now, newID: uid.New,
		living: func(context.Context) (map[string]bool, error) { return nil, nil }, // who repairs is alone
	}
	err := s.ledger.Check(ctx, report, history.CheckDeps{Rows: checkedRows{s, rows}, Documents: documents{}, Accounts: accounts})
	if err != nil {
		return err
	}
	return s.checkCounts(ctx, report, rows)
}

// checkCounts holds the counts that lists are made with against the rows.
func (s *service) checkCounts(ctx context.Context, report *check.Report, rows *sqlRepository) error {
	wrong, err := rows.CountWrongCounts(ctx)
	if err != nil || wrong == 0 {
		return err
	}
	return report.Add(ctx, check.Finding{Code: "counts_differ", Service: "image", Detail: "the counts of images that lists use are not those of the rows"},
		func(ctx context.Context) (string, error) { return "counted anew", rows.RecountImages(ctx) })
}

// checkedRows is the table of images as history compares it.
type checkedRows struct {
	service *service
	*sqlRepository
}

// entryOf returns the image as history compares it.
func entryOf(image Image) history.Entry {
	entry := history.Entry{
		ID: image.ID, Owner: image.UserID, Request: image,
		Finished: image.Status == StatusCompleted || image.Status == StatusFailed || image.Status == StatusCancelled,
	}
	if image.Status == StatusCompleted {
		entry.Made = &history.Made{Name: mediaName, Size: image.Media.Bytes, SHA256: image.Media.SHA256}
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
	erasures, err := r.ListErasures(ctx, Everyone(), after, limit)
	list := make([]history.Erasing, len(erasures))
	for i, one := range erasures {
		list[i] = history.Erasing{ID: one.ID, Processing: one.Processing}
	}
	return list, err
}

// StoreEntry stores a row that a record tells; see history.Rows.
func (r checkedRows) StoreEntry(ctx context.Context, entry history.Entry) error {
	image, ok := entry.Request.(Image)
	if !ok {
		return errors.New("this is no image")
	}
	image.Bucket = r.service.ledger.Bucket().Name() // the record was perhaps written in one of another name
	return r.Replace(ctx, image)
}

// Settle ends an image nobody works on any more; see history.Rows.
func (r checkedRows) Settle(ctx context.Context, id string) error {
	image, err := r.Find(ctx, id)
	if err != nil {
		return err
	}
	return r.service.resume(ctx, image)
}

// Erase removes an image and its objects; see history.Rows.
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

// documents are the documents of images as history compares them.
type documents struct{}

// ReadRecord reads a record; see history.Documents.
func (documents) ReadRecord(id string, data []byte) (history.Entry, error) {
	var record Record
	if err := json.Unmarshal(data, &record); err != nil {
		return history.Entry{}, err
	}
	if record.ID != id || !record.final() {
		return history.Entry{}, errors.New("this is not the record of this request")
	}
	return entryOf(record.image()), nil
}

// RecordOf makes a record from a row; see history.Documents.
func (documents) RecordOf(row history.Entry, sha256 string, at time.Time) any {
	image, _ := row.Request.(Image)
	if image.Media.SHA256 == "" {
		image.Media.SHA256 = sha256
	}
	record := recordOf(image, making{})
	record.RestoredAt = &at
	return record
}

// InputOf makes the parameters again; see history.Documents.
func (documents) InputOf(entry history.Entry, at time.Time) any {
	image, _ := entry.Request.(Image)
	input := inputOf(image, image.Model)
	input.RestoredAt = &at
	return input
}

// MadeNames lists what an image can have made; see history.Documents.
func (documents) MadeNames() []string { return []string{mediaName} }

// Differences names the facts that differ; see history.Documents. The bucket is
// none: rows that were copied or restored name the new one, their records the
// one they were written in.
func (documents) Differences(one, other history.Entry) []string {
	a, _ := one.Request.(Image)
	b, _ := other.Request.(Image)
	return check.Differing(
		check.Fact("request_id", a.RequestID, b.RequestID), check.Fact("prompt", a.Prompt, b.Prompt),
		check.Fact("negative_prompt", a.NegativePrompt, b.NegativePrompt), check.Fact("size", a.Size, b.Size),
		check.Fact("style", a.Style, b.Style), check.Optional("seed", a.Seed, b.Seed), check.Fact("status", a.Status, b.Status),
		check.Fact("provider", a.Provider, b.Provider), check.Fact("model", a.Model, b.Model),
		check.Fact("error_code", a.Failure.Code, b.Failure.Code), check.Fact("error_detail", a.Failure.Detail, b.Failure.Detail),
		check.Fact("s3_key", a.Key, b.Key),
		check.Fact("width", a.Media.Width, b.Media.Width), check.Fact("height", a.Media.Height, b.Media.Height),
		check.Fact("file_size_bytes", a.Media.Bytes, b.Media.Bytes), check.Fact("sha256", a.Media.SHA256, b.Media.SHA256),
		check.Fact("source_content_type", a.Media.SourceContentType, b.Media.SourceContentType),
		check.Fact("processing_time_ms", a.Took.Milliseconds(), b.Took.Milliseconds()),
		check.Moment("created_at", a.CreatedAt, b.CreatedAt), check.Moment("completed_at", a.FinishedAt, b.FinishedAt),
	)
}
