package speech

import (
	"context"
	"fmt"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

// eraseBatch is how many conversions are erased between two looks at the list.
const eraseBatch = 100

// Delete erases a conversion with everything it left. Its owner and admins may;
// one made anonymously only admins. It may be repeated after a fault.
func (s *service) Delete(ctx context.Context, id string) error {
	caller, err := identity.Require(ctx)
	if err != nil {
		return err
	}
	c, err := s.Find(ctx, id)
	if err != nil {
		return err
	}
	if c.UserID == nil && !caller.Admin() {
		return fault.New(fault.Forbidden, "admin_only", "Only an administrator may delete speech that was made anonymously.")
	}
	return s.erase(ctx, c)
}

// erase removes the objects first: as long as something is left of them the row
// stays, and with it the way to try again.
func (s *service) erase(ctx context.Context, c Conversion) error {
	if err := s.ledger.Erase(ctx, c.UserID, c.ID, everyMediaName()...); err != nil {
		return err
	}
	if err := s.repository.Delete(ctx, c.ID); err != nil {
		return err
	}
	if c.Status != StatusProcessing {
		return nil
	}
	// The request at work on it may have finished between the two steps above.
	// If it is still at work, it finds no row and cleans up after itself.
	return s.ledger.Erase(ctx, c.UserID, c.ID, everyMediaName()...)
}

// EraseUser removes every conversion of the user, and the daily indexes. It may
// be repeated after a fault.
func (s *service) EraseUser(ctx context.Context, userID int64) error {
	if userID < 1 {
		return fault.New(fault.Internal, "internal", "A user to erase needs an id.")
	}
	for {
		list, _, err := s.repository.List(ctx, Filter{UserID: userID}, eraseBatch, 0)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return s.eraseIndexes(ctx, userID)
		}
		for _, c := range list {
			if err := s.erase(ctx, c); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
	}
}

func (s *service) eraseIndexes(ctx context.Context, userID int64) error {
	bucket := s.ledger.Bucket()
	prefix := fmt.Sprintf("users/%d/%s/history/", userID, historyName)
	for {
		days, err := bucket.List(ctx, prefix, "", eraseBatch)
		if err != nil || len(days) == 0 {
			return err
		}
		for _, day := range days {
			if err := bucket.Delete(ctx, day.Key); err != nil {
				return err
			}
		}
	}
}
