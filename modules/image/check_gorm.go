package image

import (
	"context"
	"fmt"

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

// countTables are the tables of counts that lists use, and how many digits of
// the ids the buckets of each have.
var countTables = []struct {
	name   string
	digits int
}{{"image_counts", 5}, {"image_counts_fine", 6}}

// trueCounts is what a table with buckets of so many digits should hold.
func trueCounts(digits int) string {
	return fmt.Sprintf(`
SELECT -1 AS scope, substr(id, 1, %[1]d) AS bucket, COUNT(*) AS images FROM images GROUP BY substr(id, 1, %[1]d)
UNION ALL
SELECT COALESCE(user_id, 0), substr(id, 1, %[1]d), COUNT(*) FROM images GROUP BY COALESCE(user_id, 0), substr(id, 1, %[1]d)`, digits)
}

// CountWrongCounts returns how many counts that lists use are wrong or missing.
func (r *sqlRepository) CountWrongCounts(ctx context.Context) (int64, error) {
	var sum int64
	for _, table := range countTables {
		var wrong int64
		stored := "SELECT scope, bucket, images FROM " + table.name
		err := r.db.Read(ctx).Raw("WITH truth AS (" + trueCounts(table.digits) + ") SELECT COUNT(*) FROM (" +
			"SELECT * FROM (SELECT * FROM truth EXCEPT " + stored + ") AS missing UNION ALL " +
			"SELECT * FROM (" + stored + " EXCEPT SELECT * FROM truth) AS extra) AS wrong").Scan(&wrong).Error
		if err != nil {
			return 0, database.Fault(err)
		}
		sum += wrong
	}
	return sum, nil
}

// RecountImages makes the counts that lists use anew.
func (r *sqlRepository) RecountImages(ctx context.Context) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		for _, table := range countTables {
			if err := tx.Exec("DELETE FROM " + table.name).Error; err != nil {
				return err
			}
			if err := tx.Exec("INSERT INTO " + table.name + " (scope, bucket, images) " + trueCounts(table.digits)).Error; err != nil {
				return err
			}
		}
		return nil
	}))
}
