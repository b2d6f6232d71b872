package speech

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"llmhist/platform/database"
)

func (r *gormRepository) BeginErasure(ctx context.Context, id string) (Erasure, error) {
	var erasure erasureRow
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		var gone []conversionRow
		returning := clause.Returning{Columns: []clause.Column{{Name: "user_id"}, {Name: "status"}, {Name: "instance"}}}
		if err := tx.Clauses(returning).Where("id = ?", id).Delete(&gone).Error; err != nil {
			return err
		}
		if len(gone) == 0 {
			return tx.Where("id = ?", id).Take(&erasure).Error
		}
		erasure = erasureRow{
			ID: id, UserID: gone[0].UserID, Processing: gone[0].Status == string(StatusProcessing), Instance: gone[0].Instance,
		}
		return tx.Create(&erasure).Error
	})
	if database.IsNotFound(err) {
		return Erasure{}, notFound()
	}
	return Erasure(erasure), database.Fault(err)
}

func (r *gormRepository) FindErasure(ctx context.Context, id string) (Erasure, error) {
	var row erasureRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return Erasure{}, notFound()
	}
	return Erasure(row), database.Fault(err)
}

func (r *gormRepository) ListErasures(ctx context.Context, filter Filter, after string, limit int) ([]Erasure, error) {
	query := r.db.Read(ctx).Where("id > ?", after)
	if !filter.Everyone {
		query = query.Where("user_id = ?", filter.UserID)
	}
	var rows []erasureRow
	err := query.Order("id").Limit(limit).Find(&rows).Error
	list := make([]Erasure, len(rows))
	for i, row := range rows {
		list[i] = Erasure(row)
	}
	return list, database.Fault(err)
}

func (r *gormRepository) FinishErasure(ctx context.Context, id string) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Where("id = ?", id).Delete(&erasureRow{}).Error
	}))
}

type erasureRow struct {
	ID         string `gorm:"primaryKey"`
	UserID     *int64
	Processing bool
	Instance   string
}

// TableName is the name that the schema gives.
func (erasureRow) TableName() string { return "tts_erasures" }
