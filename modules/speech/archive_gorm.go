package speech

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// Export writes every row.
func (a Archive) Export(ctx context.Context, out archive.Rows) error {
	err := database.EachRow(func(after *conversionRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row conversionRow) error {
		c, err := row.conversion()
		if err != nil {
			return err
		}
		return out.Write(streamConversions, a.archivedOf(c))
	})
	if err != nil {
		return err
	}
	return database.EachRow(func(after *erasureRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row erasureRow) error {
		return out.Write(streamErasures, archivedErasure{row.ID, row.UserID, row.Processing})
	})
}

// EachOwned visits the ids of conversions that have an owner and an outcome: owners
// in the order of their ids as text, the conversions of each in the order of theirs.
func (a Archive) EachOwned(ctx context.Context, visit func(owner int64, id string) error) error {
	return database.EachOwned(ctx, a.db, "tts_conversions", visit)
}

// Exists reports whether there is a row of a conversion.
func (a Archive) Exists(ctx context.Context, id string) (bool, error) {
	var count int64
	err := a.db.Read(ctx).Model(&conversionRow{}).Where("id = ?", id).Count(&count).Error
	return count > 0, database.Fault(err)
}

func (a Archive) insertConversions(ctx context.Context, page []archivedConversion) error {
	rows := make([]conversionRow, len(page))
	for i, archived := range page {
		c, err := a.conversionOf(archived)
		if err != nil {
			return err
		}
		if rows[i], err = rowOf(c); err != nil {
			return err
		}
	}
	return database.InsertRows(ctx, a.db, rows)
}

func (a Archive) insertErasures(ctx context.Context, page []archivedErasure) error {
	rows := make([]erasureRow, len(page))
	for i, erasure := range page {
		rows[i] = erasureRow{ID: erasure.ID, UserID: erasure.UserID, Processing: erasure.Processing}
	}
	return database.InsertRows(ctx, a.db, rows)
}

// Count returns how many conversions there are.
func (a Archive) Count(ctx context.Context) (int64, error) {
	return database.CountRows(ctx, a.db, "tts_conversions", "tts_erasures")
}

// Clear removes every row.
func (a Archive) Clear(ctx context.Context) error {
	return database.DeleteAllRows(ctx, a.db, "tts_conversions", "tts_erasures")
}
