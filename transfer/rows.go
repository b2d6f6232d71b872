package transfer

import (
	"context"
	"slices"
	"time"

	"llmhist/modules/analytics"
	"llmhist/modules/auth"
	"llmhist/modules/chat"
	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// documentGrace is added to the moment of the snapshot for documents: the clocks
// of several servers may differ by less.
const documentGrace = time.Minute

// countedRows counts rows on their way.
type countedRows struct {
	rows     archive.Rows
	progress *Progress
}

func (c countedRows) Write(stream string, row any) error {
	c.progress.rows.Add(1)
	return c.rows.Write(stream, row)
}

// ownedLine is a line of a plan: a request that has a line in a daily index.
type ownedLine struct {
	Owner int64  `json:"owner"`
	ID    string `json:"id"`
}

// exportRows writes every row: SQL as of one moment, documents right after it.
// Chats and figures are narrowed to the accounts of that moment: what a request
// stored late for an account that was just erased goes with none. besideServers
// says that documents may be written meanwhile; those after the moment are left
// out then. plan, which may be nil, takes the requests that daily indexes list, in
// the order of the indexes.
func (e Engines) exportRows(ctx context.Context, out archive.Rows, plan *archive.Stage, besideServers bool) error {
	var users []int64
	var until time.Time
	keep := func(userID int64) bool {
		_, known := slices.BinarySearch(users, userID)
		return known
	}
	err := e.DB.Snapshot(ctx, func(snapshot *database.DB) (err error) {
		if besideServers {
			until = time.Now().Add(documentGrace)
		}
		if users, err = auth.NewArchive(snapshot).UserIDs(ctx); err != nil {
			return err
		}
		if err := exportFrom(ctx, e.inSQL(snapshot, keep), out); err != nil {
			return err
		}
		if plan == nil {
			return nil
		}
		return e.planIndexes(ctx, snapshot, plan)
	})
	if err != nil || e.Documents == nil {
		return err
	}
	if err := chat.NewArchive(nil, e.Documents).Within(keep, until).Export(ctx, out); err != nil {
		return err
	}
	return analytics.NewArchive(nil, e.Documents).Within(keep, until).Export(ctx, out)
}

// exportTarget writes every row of engines that nobody writes to, whoever it
// belongs to: what is there is what was imported.
func (e Engines) exportTarget(ctx context.Context, out archive.Rows) error {
	err := e.DB.Snapshot(ctx, func(snapshot *database.DB) error {
		return exportFrom(ctx, e.inSQL(snapshot, everybody), out)
	})
	if err != nil {
		return err
	}
	return exportFrom(ctx, e.inDocuments(), out)
}

func exportFrom(ctx context.Context, keepers []keeper, out archive.Rows) error {
	for _, one := range keepers {
		if err := one.Export(ctx, out); err != nil {
			return err
		}
	}
	return nil
}

func (e Engines) planIndexes(ctx context.Context, snapshot *database.DB, plan *archive.Stage) error {
	for _, one := range e.holders(snapshot) {
		err := one.EachOwned(ctx, func(owner int64, id string) error {
			return plan.Write(one.Service(), ownedLine{owner, id})
		})
		if err != nil {
			return err
		}
		if _, err := plan.Finish(one.Service()); err != nil {
			return err
		}
	}
	return nil
}
