package speech

import (
	"context"
	"time"

	"llmhist/platform/fault"
)

// reconcileBatch is how many unfinished conversions are read at once.
const reconcileBatch = 100

// Reconcile finishes what a crash interrupted and returns how many conversions
// that were. One whose record was written takes the outcome in it; any other
// failed with code "interrupted" and keeps no sound. Erasures that were begun
// are completed. What a living server is at work on is left alone. It may be
// repeated after a fault.
func (s *service) Reconcile(ctx context.Context) (int, error) {
	if err := s.finishErasures(ctx, Filter{Everyone: true}, func(e Erasure) Erasure { return e }); err != nil {
		return 0, err
	}
	finished, after := 0, ""
	for {
		ids, err := s.repository.ListUnfinished(ctx, after, reconcileBatch)
		if err != nil || len(ids) == 0 {
			return finished, err
		}
		list, err := s.readable(ctx, ids)
		if err != nil {
			return finished, err
		}
		settled, err := s.takeOverAbandoned(ctx, list)
		finished += settled
		if err != nil {
			return finished, err
		}
		after = ids[len(ids)-1]
	}
}

// readable returns the conversions of ids that are still there. A row that
// cannot be read keeps no other waiting: it is left to check.
func (s *service) readable(ctx context.Context, ids []string) ([]Conversion, error) {
	list := make([]Conversion, 0, len(ids))
	for _, id := range ids {
		c, err := s.repository.Find(ctx, id)
		switch {
		case err == nil:
			list = append(list, c)
		case fault.CodeOf(err) == "row_damaged":
			s.logger.ErrorContext(ctx, "the row of an unfinished conversion cannot be read: see llmhist check", "id", id, "cause", err)
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	return list, nil
}

func (s *service) takeOverAbandoned(ctx context.Context, list []Conversion) (settled int, err error) {
	living, err := s.living(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range list {
		if !s.abandoned(c.ID, c.Instance, living) {
			continue
		}
		switch err := s.takeOver(ctx, c); {
		case err == nil:
			settled++
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict): // deleted, or settled by another
		default:
			return settled, err
		}
	}
	return settled, nil
}

func (s *service) reconcile(ctx context.Context, c Conversion) error {
	var record recordDocument
	err := s.ledger.ReadRecord(ctx, c.ID, &record)
	readable := err == nil && record.ID == c.ID && record.final()
	switch {
	case readable:
		c = record.settled(c)
	case err == nil, fault.Is(err, fault.NotFound), fault.CodeOf(err) == "record_damaged":
		return s.interrupted(ctx, c)
	default:
		return err
	}
	if c.Status != StatusCompleted {
		return s.settle(ctx, c) // the sound may not have been deleted yet
	}
	if _, err := s.ledger.Bucket().Stat(ctx, c.MediaKey()); err != nil {
		if fault.Is(err, fault.NotFound) {
			return s.interrupted(ctx, c)
		}
		return err
	}
	if err := s.ledger.EnsureIndex(ctx, c.UserID, c.ID); err != nil {
		return err
	}
	return s.repository.Finish(ctx, c)
}

func (s *service) interrupted(ctx context.Context, c Conversion) error {
	c.Status, c.StatusCode = StatusFailed, statusInterrupted
	c.Failure = &Failure{Code: codeInterrupted, Detail: "The server stopped before the speech was ready. Send the request again."}
	c.UpdatedAt = s.now().UTC().Truncate(time.Millisecond)
	return s.settle(ctx, c)
}
