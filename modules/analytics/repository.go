package analytics

import (
	"context"
	"time"
)

// Repository stores events and the rollups made from them, by the hour and, where
// that is too much to read, by longer times too. Its contract needs increments,
// sums and sorted lookups only, so that a document store without multi-stage
// aggregation can keep it too. Errors are faults of kind Unavailable or OutOfSpace
// when trying again can help, the context's own error when it ended, and Internal
// otherwise.
type Repository interface {
	// Append stores events and adds each to the rollup of its hour, user,
	// service, provider and model, all or nothing. An event whose id is stored
	// already, or occurs twice in events, counts once. Concurrent calls, also
	// from other processes, lose no increment. The events are sanitized. An
	// engine without transactions may have stored a part when it fails; those
	// events are added, once, by a later call of Append, DeleteEvents or
	// DetachUser, and repeating this one stores the rest.
	Append(ctx context.Context, events []Event) error

	// ListRollups sums the rollups in scope per group, ordered by start,
	// service, provider and model. Groups without requests are left out.
	ListRollups(ctx context.Context, scope Scope, group Group) ([]Rollup, error)

	// ListLatencies sums the latency histograms in scope by group.Service and
	// group.Model, ordered by service, provider and model; group.Step is ignored.
	ListLatencies(ctx context.Context, scope Scope, group Group) ([]LatencyRollup, error)

	// ListTopUsers returns the accounts with the most requests in scope, most
	// first, then by id; at most limit. Anonymous and erased ones are left out.
	ListTopUsers(ctx context.Context, scope Scope, limit int) ([]UserRollup, error)

	// CountUsers returns how many accounts made a request in scope.
	CountUsers(ctx context.Context, scope Scope) (int64, error)

	// FindSpan returns when the first and the last request in scope arrived;
	// both are zero when there was none, which is not an error.
	FindSpan(ctx context.Context, scope Scope) (first, last time.Time, err error)

	// DetachUser takes the person out of all that is stored about an account:
	// its events and rollups become those of ErasedUser, and request and object
	// ids are removed. Sums over everyone stay the same. Work is done in steps
	// that are each all or nothing, so a call that failed can be repeated.
	DetachUser(ctx context.Context, userID int64) error

	// DeleteEvents removes at most limit events that are older than before and
	// returns how many. Rollups stay.
	DeleteEvents(ctx context.Context, before time.Time, limit int) (int64, error)
}
