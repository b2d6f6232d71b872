package image

import (
	"context"
	"time"

	"llmhist/platform/fault"
)

const reconcileBatch = 100

// Reconcile finishes what a crash interrupted and returns how many images that
// were. A row that is processing takes the outcome its record tells; without a
// record it failed with the code "interrupted", and what it left behind is
// removed. Erasures that were begun are completed. What a living server is at
// work on is left alone.
func (s *service) Reconcile(ctx context.Context) (int, error) {
	if err := s.finishErasures(ctx, Everyone(), func(e Erasure) Erasure { return e }); err != nil {
		return 0, err
	}
	done, after := 0, ""
	for {
		ids, err := s.repository.ListProcessing(ctx, after, reconcileBatch)
		if err != nil || len(ids) == 0 {
			return done, err
		}
		list, err := s.readable(ctx, ids)
		if err != nil {
			return done, err
		}
		settled, err := s.takeOverAbandoned(ctx, list)
		done += settled
		if err != nil {
			return done, err
		}
		after = ids[len(ids)-1]
	}
}

// readable returns the images of ids that are still there. A row that cannot be
// read keeps no other waiting: it is left to check.
func (s *service) readable(ctx context.Context, ids []string) ([]Image, error) {
	list := make([]Image, 0, len(ids))
	for _, id := range ids {
		image, err := s.repository.Find(ctx, id)
		switch {
		case err == nil:
			list = append(list, image)
		case fault.CodeOf(err) == "row_damaged":
			s.logger.ErrorContext(ctx, "the row of an unfinished image cannot be read: see llmhist check", "id", id, "cause", err)
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	return list, nil
}

func (s *service) takeOverAbandoned(ctx context.Context, list []Image) (settled int, err error) {
	living, err := s.living(ctx)
	if err != nil {
		return 0, err
	}
	for _, image := range list {
		if !s.abandoned(image.ID, image.Instance, living) {
			continue
		}
		switch err := s.takeOver(ctx, image); {
		case err == nil:
			settled++
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict): // deleted, or settled by another
		default:
			return settled, err
		}
	}
	return settled, nil
}

// resume finishes one interrupted image.
func (s *service) resume(ctx context.Context, image Image) error {
	record, err := s.outcome(ctx, image)
	switch {
	case err == nil:
		record.apply(&image)
		if image.Status != StatusCompleted {
			if err := s.ledger.Bucket().Delete(ctx, image.key()); err != nil { // a late request may have stored it
				return err
			}
		}
		if err := s.ledger.EnsureIndex(ctx, image.UserID, image.ID); err != nil {
			return err
		}
		return s.repository.Finish(ctx, image)
	case fault.Is(err, fault.NotFound), fault.CodeOf(err) == "record_damaged":
		return s.interrupted(ctx, image)
	default:
		return err
	}
}

// outcome returns the record of an image that tells how it ended. One whose
// picture is gone, because giving up on it was interrupted, tells nothing: it
// is a NotFound fault, like a record that is absent.
func (s *service) outcome(ctx context.Context, image Image) (Record, error) {
	var record Record
	err := s.ledger.ReadRecord(ctx, image.ID, &record)
	switch {
	case err != nil:
		return Record{}, err
	case record.ID != image.ID:
		return Record{}, notFound()
	case record.Status == StatusFailed, record.Status == StatusCancelled:
		return record, nil
	case record.Status != StatusCompleted:
		return Record{}, notFound()
	}
	_, err = s.ledger.Bucket().Stat(ctx, image.key())
	return record, err
}

func (s *service) interrupted(ctx context.Context, image Image) error {
	image.Status = StatusFailed
	image.Failure = Failure{Code: codeInterrupted, Detail: "The server stopped while the image was being made. Ask for it again."}
	image.FinishedAt = s.now().UTC().Truncate(time.Millisecond)
	return s.settle(ctx, image, making{})
}
