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

// exportRows writes every row: SQL as of one moment, documents right after it
// and narrowed to the accounts of that moment. plan, which may be nil, takes the
// requests that daily indexes list, in the order of the indexes.
func (e Engines) exportRows(ctx context.Context, out archive.Rows, plan *archive.Stage) error {
	var users []int64
	var moment time.Time
	err := e.DB.Snapshot(ctx, func(snapshot *database.DB) (err error) {
		moment = time.Now()
		for _, one := range e.inSQL(snapshot) {
			if err := one.Export(ctx, out); err != nil {
				return err
			}
		}
		if plan != nil {
			if err := e.planIndexes(ctx, snapshot, plan); err != nil {
				return err
			}
		}
		users, err = auth.NewArchive(snapshot).UserIDs(ctx)
		return err
	})
	if err != nil || e.Documents == nil {
		return err
	}
	keep := func(userID int64) bool {
		_, known := slices.BinarySearch(users, userID)
		return known
	}
	until := moment.Add(documentGrace)
	if err := chat.NewArchive(nil, e.Documents).Within(keep, until).Export(ctx, out); err != nil {
		return err
	}
	return analytics.NewArchive(nil, e.Documents).Within(keep, until).Export(ctx, out)
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
