package auth

import (
	"context"
	"fmt"
	"strconv"

	"llmhist/platform/check"
	"llmhist/platform/database"
)

// Accounts tells the owners of things from those who are gone, for comparisons.
// It reads the accounts anew each time.
func Accounts(db *database.DB) check.Accounts { return sqlAccounts{db} }

// Check looks for what belongs to no account, and for erasures of accounts that
// hang. A report that repairs removes the former; the latter go on when the
// server runs.
func Check(ctx context.Context, db *database.DB, report *check.Report) error {
	area := report.Area("auth")
	accounts := sqlAccounts{db}
	count, err := accounts.countRows(ctx)
	if err != nil {
		return err
	}
	area.Rows.Add(count)
	for _, kind := range ownedKinds {
		if err := checkOwned(ctx, accounts, report, kind); err != nil {
			return err
		}
	}
	hanging, err := sqlUsers{db}.ListDeletions(ctx, report.Now().Add(-report.Grace), sweepBatch)
	if err != nil {
		return err
	}
	for _, id := range hanging {
		err := report.Add(ctx, check.Finding{Code: "deletion_unfinished", Service: "auth", ID: strconv.FormatInt(id, 10),
			Detail: "the erasure of this account has not ended: a running server goes on with it within minutes"}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

func checkOwned(ctx context.Context, accounts sqlAccounts, report *check.Report, kind ownedKind) error {
	count, err := accounts.countOrphans(ctx, kind)
	if err != nil || count == 0 {
		return err
	}
	return report.Add(ctx, check.Finding{Code: kind.code, Service: "auth", Detail: fmt.Sprintf("%d %s belong to no account", count, kind.noun)},
		func(ctx context.Context) (string, error) { return "removed", accounts.deleteOrphans(ctx, kind) })
}
