package speech

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/history"
)

// ListEntries lists rows by id, those that cannot be read too; see
// history.Rows.
func (r *gormRepository) ListEntries(ctx context.Context, after string, limit int) ([]history.Entry, error) {
	var rows []conversionRow
	err := r.db.Read(ctx).Where("id > ?", after).Order("id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, database.Fault(err)
	}
	list := make([]history.Entry, len(rows))
	for i, row := range rows {
		list[i] = row.entry()
	}
	return list, nil
}

func (r *gormRepository) findRow(ctx context.Context, id string) (conversionRow, error) {
	var row conversionRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return row, notFound()
	}
	return row, database.Fault(err)
}

func (row conversionRow) entry() history.Entry {
	c, err := row.conversion()
	if err != nil {
		return history.Entry{ID: row.ID, Owner: row.UserID, Damage: "the column metadata cannot be read"}
	}
	return entryOf(c, "")
}

// Replace stores the row of a conversion, new or over the one there. One whose
// erasure has begun is NotFound.
func (r *gormRepository) Replace(ctx context.Context, c Conversion) error {
	row, err := rowOf(c)
	if err != nil {
		return err
	}
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		var erasures int64
		if err := tx.Model(&erasureRow{}).Where("id = ?", c.ID).Count(&erasures).Error; err != nil {
			return err
		}
		if erasures > 0 {
			return notFound()
		}
		if err := tx.Where("id = ?", c.ID).Delete(&conversionRow{}).Error; err != nil {
			return err
		}
		return tx.Create(&row).Error
	}))
}
