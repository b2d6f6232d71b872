package analytics

import (
	"context"
	"slices"
	"strconv"

	"llmhist/platform/check"
)

// checkedAccounts is what an engine has beside checked that finds the first and
// the last of many rows itself. MongoDB, which is only asked for sums, has not.
type checkedAccounts interface {
	// ListStaleAccounts returns in order who came first or last, with any service,
	// at another time than the hours say, as of one moment.
	ListStaleAccounts(ctx context.Context) ([]int64, error)
	// RebuildAccount makes when an account came first and last again, from its hours.
	RebuildAccount(ctx context.Context, userID int64) error
}

// accountsLookedUp bounds the ids of one look for accounts.
const accountsLookedUp = 500

// compareAccounts holds when accounts came first and last against the hours. It
// looks twice where anything differs: an account that is being erased between is
// found either leaving or gone.
func (c *checker) compareAccounts(ctx context.Context) error {
	store, ok := c.store.(checkedAccounts)
	if !ok {
		return nil
	}
	stale, err := store.ListStaleAccounts(ctx)
	if err != nil || len(stale) == 0 {
		return err
	}
	staying, err := c.staying(ctx, stale)
	if err != nil {
		return err
	}
	if stale, err = store.ListStaleAccounts(ctx); err != nil {
		return err
	}
	for _, user := range stale {
		if _, differed := slices.BinarySearch(staying, user); !differed {
			continue
		}
		err := c.report.Add(ctx, check.Finding{Code: "account_differs_from_hours", Service: "analytics", ID: strconv.FormatInt(user, 10),
			Detail: "when the account came first and last is not what its hours say"},
			func(ctx context.Context) (string, error) {
				return "made again from the hours", store.RebuildAccount(ctx, user)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// staying returns those of the users, in their order, whose accounts are not being
// erased, which moves their hours step by step.
func (c *checker) staying(ctx context.Context, users []int64) ([]int64, error) {
	var staying []int64
	for part := range slices.Chunk(users, accountsLookedUp) {
		accounts, err := c.accounts.FindAccounts(ctx, part)
		if err != nil {
			return nil, err
		}
		for _, user := range part {
			if !accounts.Known[user].Leaving {
				staying = append(staying, user)
			}
		}
	}
	return staying, nil
}
