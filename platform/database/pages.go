package database

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

const (
	// pageRows is how many rows EachRow reads at once.
	pageRows = 500
	// insertRows is how many rows InsertRows puts into one statement: the time
	// that SQLite's driver needs for it grows with the square of the parameters.
	insertRows = 25
)

// EachRow visits rows in an order by key without ever holding more than a page
// of them. next returns the ordered query for what comes after a row, which is
// nil at the start.
func EachRow[Row any](next func(after *Row) *gorm.DB, visit func(row Row) error) error {
	var after *Row
	for {
		var page []Row
		if err := next(after).Limit(pageRows).Find(&page).Error; err != nil {
			return Fault(err)
		}
		for _, row := range page {
			if err := visit(row); err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
		last := page[len(page)-1]
		after = &last
	}
}

// InsertRows stores rows as they are, all or none, without the associations
// that omit names.
func InsertRows[Row any](ctx context.Context, db *DB, rows []Row, omit ...string) error {
	return Fault(db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Omit(omit...).CreateInBatches(rows, insertRows).Error
	}))
}

// CountRows returns how many rows the tables hold together.
func CountRows(ctx context.Context, db *DB, tables ...string) (int64, error) {
	var total int64
	for _, table := range tables {
		var count int64
		if err := db.Read(ctx).Table(table).Count(&count).Error; err != nil {
			return 0, Fault(err)
		}
		total += count
	}
	return total, nil
}

// DeleteAllRows empties tables, in the order given.
func DeleteAllRows(ctx context.Context, db *DB, tables ...string) error {
	return Fault(db.Write(ctx, func(tx *gorm.DB) error {
		for _, table := range tables {
			if err := tx.Exec("DELETE FROM " + table).Error; err != nil { // the names are the caller's own
				return err
			}
		}
		return nil
	}))
}

// EachOwned visits the settled rows of a table that have an owner: owners in the
// order of their ids as text, which is that of object keys, and the rows of each
// by id. The table has the columns id, user_id and status.
func EachOwned(ctx context.Context, db *DB, table string, visit func(owner int64, id string) error) error {
	var owners []int64
	err := db.Read(ctx).Table(table).Where("user_id IS NOT NULL").Distinct().Pluck("user_id", &owners).Error
	if err != nil {
		return Fault(err)
	}
	slices.SortFunc(owners, func(a, b int64) int { return strings.Compare(strconv.FormatInt(a, 10), strconv.FormatInt(b, 10)) })
	type owned struct{ ID string }
	for _, owner := range owners {
		err := EachRow(func(after *owned) *gorm.DB {
			query := db.Read(ctx).Table(table).Select("id").Where("user_id = ? AND status <> 'processing'", owner).Order("id")
			if after != nil {
				query = query.Where("id > ?", after.ID)
			}
			return query
		}, func(row owned) error { return visit(owner, row.ID) })
		if err != nil {
			return err
		}
	}
	return nil
}
