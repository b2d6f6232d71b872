package instance

import (
	"context"
	"fmt"
	"time"

	"llmhist/platform/database"
)

// RequireNone returns an error that names a server when one lives on the
// database. One of the data directory home is none: the caller holds the lock of
// that directory, so what it left there is dead.
func RequireNone(ctx context.Context, db *database.DB, home string) error {
	rows, err := table{db}.list(ctx)
	if err != nil {
		return fmt.Errorf("look for servers of this database: %w", err)
	}
	for _, other := range rows {
		if other.Home != home && other.age() < Lease {
			return fmt.Errorf("a running server works with this database (host %s, seen %s ago): stop it first (one that was killed is forgotten after %s)",
				other.Host, other.age().Round(time.Second), Lease)
		}
	}
	return nil
}
