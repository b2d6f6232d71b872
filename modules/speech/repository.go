package speech

import "context"

// Filter chooses conversions. Its zero value chooses none.
type Filter struct {
	Everyone bool   // all users' and the anonymous ones; otherwise only UserID's
	UserID   int64  // whose, unless Everyone
	Text     string // only those whose text contains this, ASCII letters of either case; "" = all
}

// Repository keeps the rows of conversions. Times come back in UTC with
// millisecond precision. A database that does not answer is an Unavailable
// fault; a context that ends first is the context's error and nothing is
// written.
type Repository interface {
	// Create stores a new conversion. An id that is taken is a Conflict fault.
	Create(ctx context.Context, c Conversion) error
	// Find returns the conversion with this id, or a NotFound fault. One that
	// cannot be read is an Internal fault (code "row_damaged").
	Find(ctx context.Context, id string) (Conversion, error)
	// List returns the conversions that filter chooses, newest first and by id
	// among those of one moment, skipping offset and returning at most limit;
	// and how many there are in all. The list is never nil. One that cannot be
	// read hides no other: it is there with its Damage and without what that took.
	List(ctx context.Context, filter Filter, limit, offset int) ([]Conversion, int64, error)
	// ListIDs returns the ids of at most limit conversions of whom the filter
	// names, whatever their text, newest first. Those that cannot be read are
	// among them.
	ListIDs(ctx context.Context, filter Filter, limit int) ([]string, error)
	// ListUnfinished returns the ids of at most limit conversions that are
	// processing, in order, beginning after the given id. Those that cannot be
	// read are among them.
	ListUnfinished(ctx context.Context, after string, limit int) ([]string, error)
	// Finish stores the outcome of a conversion that c.Instance is processing.
	// One that is absent is a NotFound fault; one that has its outcome, or that
	// belongs to another instance, is a Conflict fault and stays as it is.
	Finish(ctx context.Context, c Conversion) error
	// Claim makes the conversion processing by another instance if status,
	// failure and instance are still those of c, for one of any number of
	// callers. For the others it is a Conflict fault; one that is absent is a
	// NotFound fault.
	Claim(ctx context.Context, c Conversion, by string) error
	// BeginErasure replaces the conversion by an erasure in one step and returns
	// it, or the erasure that stands for it already; else a NotFound fault.
	BeginErasure(ctx context.Context, id string) (Erasure, error)
	// FindErasure returns the unfinished erasure of a conversion, or a NotFound
	// fault.
	FindErasure(ctx context.Context, id string) (Erasure, error)
	// ListErasures returns at most limit erasures of whom the filter names,
	// whatever their text, in order of id, beginning after the given id.
	ListErasures(ctx context.Context, filter Filter, after string, limit int) ([]Erasure, error)
	// FinishErasure forgets an erasure. One that is gone is no error.
	FinishErasure(ctx context.Context, id string) error
}
