package check

import (
	"context"
	"time"
)

// Accounts finds out about those who own things. Ids it does not return in the
// map have the state that Absent gives.
type Accounts interface {
	FindAccounts(ctx context.Context, ids []int64) (Accounting, error)
}

// Accounting is what is known about some accounts.
type Accounting struct {
	Known map[int64]Account
	// LastID is the highest id that this database ever gave to an account, and
	// Since is when it was made. An absent id that it never gave, or something
	// older than it, belongs to an account of another database: it was lost,
	// not erased.
	LastID int64
	Since  time.Time
}

// Account is one that exists.
type Account struct {
	CreatedAt time.Time
	Leaving   bool // it is being erased
}

// Ownership is what has become of an owner.
type Ownership uint8

// The states of an owner.
const (
	Owned   Ownership = iota // the account is there, or none is needed
	Leaving                  // it is being erased right now
	Erased                   // it was erased, and what it owned has to go
	Unknown                  // this database never had it: nothing of it is touched
)

// clockTolerance is how much earlier than its account something may seem to be
// made, as clocks of several machines differ.
const clockTolerance = 10 * time.Minute

// Of returns what has become of the owner of something made at that time. nil
// owns what was made anonymously.
func (a Accounting) Of(owner *int64, at time.Time) Ownership {
	if owner == nil {
		return Owned
	}
	account, exists := a.Known[*owner]
	switch {
	case exists && at.Before(account.CreatedAt.Add(-clockTolerance)):
		return Unknown // the id was given again, to somebody else
	case exists && account.Leaving:
		return Leaving
	case exists:
		return Owned
	case *owner < 1 || *owner > a.LastID || at.Before(a.Since.Add(-clockTolerance)):
		return Unknown
	default:
		return Erased
	}
}
