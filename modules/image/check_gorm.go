package image

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/history"
)

// ListEntries lists rows by id, those that cannot be read too; see
// history.Rows.
func (r *sqlRepository) ListEntries(ctx context.Context, after string, limit int) ([]history.Entry, error) {
	var rows []imageRow
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

func (r *sqlRepository) findRow(ctx context.Context, id string) (imageRow, error) {
	var row imageRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return row, notFound()
	}
	return row, database.Fault(err)
}

func (row imageRow) entry() history.Entry {
	image, err := row.image()
	if err != nil {
		return history.Entry{ID: row.ID, Owner: row.UserID, Damage: "the column metadata cannot be read"}
	}
	return entryOf(image)
}

// Replace stores the row of an image, new or over the one there. An image whose
// erasure has begun is NotFound.
func (r *sqlRepository) Replace(ctx context.Context, image Image) error {
	row, err := rowOf(image)
	if err != nil {
		return err
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error {
		var erasures int64
		if err := tx.Model(&erasureRow{}).Where("id = ?", image.ID).Count(&erasures).Error; err != nil {
			return err
		}
		if erasures > 0 {
			return notFound()
		}
		// Not an upsert: the triggers that count rows are of inserting and deleting.
		if err := tx.Where("id = ?", image.ID).Delete(&imageRow{}).Error; err != nil {
			return err
		}
		return tx.Create(&row).Error
	})
	return database.Fault(err)
}

// trueCounts is what image_counts should hold.
const trueCounts = `
SELECT -1 AS scope, substr(id, 1, 5) AS bucket, COUNT(*) AS images FROM images GROUP BY substr(id, 1, 5)
UNION ALL
SELECT COALESCE(user_id, 0), substr(id, 1, 5), COUNT(*) FROM images GROUP BY COALESCE(user_id, 0), substr(id, 1, 5)`

// CountWrongCounts returns how many rows of image_counts are wrong or missing.
func (r *sqlRepository) CountWrongCounts(ctx context.Context) (int64, error) {
	var wrong int64
	const stored = "SELECT scope, bucket, images FROM image_counts"
	err := r.db.Read(ctx).Raw("WITH truth AS (" + trueCounts + ") SELECT COUNT(*) FROM (" +
		"SELECT * FROM (SELECT * FROM truth EXCEPT " + stored + ") AS missing UNION ALL " +
		"SELECT * FROM (" + stored + " EXCEPT SELECT * FROM truth) AS extra) AS wrong").Scan(&wrong).Error
	return wrong, database.Fault(err)
}

// RecountImages makes image_counts anew.
func (r *sqlRepository) RecountImages(ctx context.Context) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		if err := tx.Exec("DELETE FROM image_counts").Error; err != nil {
			return err
		}
		return tx.Exec("INSERT INTO image_counts (scope, bucket, images) " + trueCounts).Error
	}))
}
