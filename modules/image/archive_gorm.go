package image

import (
	"context"

	"gorm.io/gorm"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// Export writes every row.
func (a Archive) Export(ctx context.Context, out archive.Rows) error {
	err := database.EachRow(func(after *imageRow) *gorm.DB {
		query := a.db.Read(ctx).Order("id")
		if after != nil {
			query = query.Where("id > ?", after.ID)
		}
		return query
	}, func(row imageRow) error {
		image, err := row.image()
		if err != nil {
			return err
		}
		return out.Write(streamImages, a.archivedOf(image))
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

// EachOwned visits the ids of images that have an owner and an outcome: owners
// in the order of their ids as text, the images of each in the order of theirs.
func (a Archive) EachOwned(ctx context.Context, visit func(owner int64, id string) error) error {
	return database.EachOwned(ctx, a.db, "images", visit)
}

// Exists reports whether there is a row of an image.
func (a Archive) Exists(ctx context.Context, id string) (bool, error) {
	var count int64
	err := a.db.Read(ctx).Model(&imageRow{}).Where("id = ?", id).Count(&count).Error
	return count > 0, database.Fault(err)
}

func (a Archive) insertImages(ctx context.Context, page []archivedImage) error {
	rows := make([]imageRow, len(page))
	for i, archived := range page {
		image, err := a.imageOf(archived)
		if err != nil {
			return err
		}
		if rows[i], err = rowOf(image); err != nil {
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

// Count returns how many images there are.
func (a Archive) Count(ctx context.Context) (int64, error) {
	return database.CountRows(ctx, a.db, "images", "image_erasures")
}

// Clear removes every row.
func (a Archive) Clear(ctx context.Context) error {
	return database.DeleteAllRows(ctx, a.db, "images", "image_erasures")
}
