package image

import (
	"context"

	"llmhist/platform/web"
)

// repository is the index over the objects. Rows are ordered by id, newest
// first, which is the order of creation. Its methods fail with the faults of
// the database besides those they name.
type repository interface {
	// Create adds a row. An id that exists is a Conflict fault (code
	// "image_exists").
	Create(ctx context.Context, image Image) error
	// Find returns the row, or a NotFound fault. A row that cannot be read is an
	// Internal fault (code "row_damaged").
	Find(ctx context.Context, id string) (Image, error)
	// List returns a page of the rows in scope whose prompt contains query
	// (ASCII letters of either case, all other characters as they are; "" =
	// all), and how many there are. The list is never nil. A row that cannot be
	// read hides no other: it is there with its Damage and without what that took.
	List(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error)
	// Finish stores the outcome of a row that image.Instance is processing,
	// exactly once: a row that is gone is a NotFound fault, one that is finished
	// or belongs to another instance a Conflict fault (code "image_finished").
	Finish(ctx context.Context, image Image) error
	// Claim makes the row processing by another instance if status, failure and
	// instance are still those of image, for one of any number of callers. For
	// the others it is a Conflict fault (code "image_claimed"); a row that is
	// gone is a NotFound fault.
	Claim(ctx context.Context, image Image, by string) error
	// ListIDs returns the ids of up to limit rows in scope, in order. Rows that
	// cannot be read are among them.
	ListIDs(ctx context.Context, scope Scope, limit int) ([]string, error)
	// ListProcessing returns up to limit ids after the given one of rows that
	// are processing, in order. Rows that cannot be read are among them.
	ListProcessing(ctx context.Context, after string, limit int) ([]string, error)
	// BeginErasure replaces the row by an erasure in one step and returns it,
	// or the erasure that stands for it already; else a NotFound fault.
	BeginErasure(ctx context.Context, id string) (Erasure, error)
	// FindErasure returns the unfinished erasure of an image, or a NotFound
	// fault.
	FindErasure(ctx context.Context, id string) (Erasure, error)
	// ListErasures returns up to limit erasures in scope with ids after the
	// given one, in order of id.
	ListErasures(ctx context.Context, scope Scope, after string, limit int) ([]Erasure, error)
	// FinishErasure forgets an erasure. One that is gone is no error.
	FinishErasure(ctx context.Context, id string) error
}
