package speech

import (
	"context"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
)

// eraseBatch is how many conversions are erased between two looks at the list.
const eraseBatch = 100

// Delete erases a conversion: its row first, so that it is gone for everyone at
// once, then its objects and its index line. What a fault or a crash left is
// finished by the next Delete or by Reconcile. Its owner and admins may; one
// made anonymously only admins.
func (s *service) Delete(ctx context.Context, id string) error {
	caller, err := identity.Require(ctx)
	if err != nil {
		return err
	}
	if !uid.Valid(id) {
		return notFound()
	}
	owner, err := s.ownerOf(ctx, id)
	if err != nil {
		return err
	}
	if !caller.CanSee(owner) {
		return notFound()
	}
	if owner == nil && !caller.Admin() {
		return fault.New(fault.Forbidden, "admin_only", "Only an administrator may delete speech that was made anonymously.")
	}
	erasure, err := s.repository.BeginErasure(ctx, id)
	if err != nil {
		return err
	}
	return s.eraseObjects(ctx, erasure)
}

// ownerOf returns whose the conversion is, or was while its erasure is
// unfinished.
func (s *service) ownerOf(ctx context.Context, id string) (*int64, error) {
	c, err := s.repository.Find(ctx, id)
	if !fault.Is(err, fault.NotFound) {
		return c.UserID, err
	}
	pending, err := s.repository.FindErasure(ctx, id)
	return pending.UserID, err
}

// eraseObjects removes what is left of a conversion whose row is gone. While a
// living server is at work on it the erasure stays: that request, or Reconcile
// after a crash, removes what is written from now on.
func (s *service) eraseObjects(ctx context.Context, erasure Erasure) error {
	if err := s.ledger.Erase(ctx, erasure.UserID, erasure.ID, everyMediaName()...); err != nil {
		return err
	}
	if erasure.Processing {
		living, err := s.living(ctx)
		if err != nil || !s.abandoned(erasure.ID, erasure.Instance, living) {
			return err
		}
	}
	return s.repository.FinishErasure(ctx, erasure.ID)
}

// EraseUser removes every conversion of the user, and the daily indexes. It may
// be repeated after a fault.
func (s *service) EraseUser(ctx context.Context, userID int64) error {
	if userID < 1 {
		return fault.New(fault.Internal, "internal", "A user to erase needs an id.")
	}
	filter := Filter{UserID: userID}
	for {
		ids, err := s.repository.ListIDs(ctx, filter, eraseBatch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := s.repository.BeginErasure(ctx, id); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		if err := s.finishErasures(ctx, filter, withoutLine); err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
	}
	return s.ledger.EraseIndexes(ctx, userID, func(ctx context.Context, id string) error { return s.eraseListed(ctx, userID, id) })
}

// withoutLine leaves an erasure's index line alone: the daily indexes of a user
// who goes are removed whole.
func withoutLine(erasure Erasure) Erasure {
	erasure.UserID = nil
	return erasure
}

// finishErasures erases the objects of every erasure of whom filter names, as
// adapted.
func (s *service) finishErasures(ctx context.Context, filter Filter, adapt func(Erasure) Erasure) error {
	after := ""
	for {
		list, err := s.repository.ListErasures(ctx, filter, after, eraseBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, erasure := range list {
			if err := s.eraseObjects(ctx, adapt(erasure)); err != nil {
				return err
			}
		}
		after = list[len(list)-1].ID
	}
}

// eraseListed erases what a daily index of the user lists: a request accepted
// since the rows were listed, or objects that lost their row. What belongs to
// somebody else is there by mistake, and stays.
func (s *service) eraseListed(ctx context.Context, userID int64, id string) error {
	owner, err := s.ownerOf(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return s.eraseObjects(ctx, Erasure{ID: id})
	case err != nil:
		return err
	case owner == nil || *owner != userID:
		return nil
	}
	erasure, err := s.repository.BeginErasure(ctx, id)
	if err != nil {
		return err
	}
	return s.eraseObjects(ctx, withoutLine(erasure))
}
