package image

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// sqlRepository keeps the index in PostgreSQL or SQLite.
type sqlRepository struct{ db *database.DB }

func (r *sqlRepository) Create(ctx context.Context, image Image) error {
	row, err := rowOf(image)
	if err != nil {
		return err
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	if database.IsDuplicate(err) {
		return fault.New(fault.Conflict, "image_exists", "There is an image with this id already.")
	}
	return database.Fault(err)
}

func (r *sqlRepository) Find(ctx context.Context, id string) (Image, error) {
	var row imageRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return Image{}, notFound()
	}
	if err != nil {
		return Image{}, database.Fault(err)
	}
	return row.image()
}

func (r *sqlRepository) Finish(ctx context.Context, image Image) error {
	row, err := rowOf(image)
	if err != nil {
		return err
	}
	finished := fault.New(fault.Conflict, "image_finished", "This image is finished already.")
	return r.changeOne(ctx, image.ID, finished, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("status = 'processing' AND instance = ?", image.Instance).
			Select("Seed", "Status", "Provider", "Model", "ErrorCode", "ErrorDetail", "S3Key", "S3Bucket",
				"Width", "Height", "FileSizeBytes", "ProcessingTimeMS", "Metadata", "UpdatedAt").
			UpdateColumns(&row)
	})
}

func (r *sqlRepository) Claim(ctx context.Context, image Image, by string) error {
	claimed := fault.New(fault.Conflict, "image_claimed", "Another server has taken this image over.")
	return r.changeOne(ctx, image.ID, claimed, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("status = ? AND error_code = ? AND instance = ?", string(image.Status), image.Failure.Code, image.Instance).
			UpdateColumns(map[string]any{"status": string(StatusProcessing), "error_code": "", "error_detail": "", "instance": by})
	})
}

// changeOne changes the row if change's conditions hold. It fails with refused
// when they do not, and with a NotFound fault when there is no such row.
func (r *sqlRepository) changeOne(ctx context.Context, id string, refused error, change func(tx *gorm.DB) *gorm.DB) error {
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		result := change(tx.Model(&imageRow{}).Where("id = ?", id))
		if result.Error != nil || result.RowsAffected == 1 {
			return result.Error
		}
		var found imageRow
		if err := tx.Select("id").Where("id = ?", id).Take(&found).Error; err != nil {
			return err
		}
		return refused
	})
	if database.IsNotFound(err) {
		return notFound()
	}
	return database.Fault(err)
}

func (r *sqlRepository) ListIDs(ctx context.Context, scope Scope, limit int) ([]string, error) {
	var ids []string
	err := scoped(r.db.Read(ctx).Model(&imageRow{}), scope).Order("id").Limit(limit).Pluck("id", &ids).Error
	return ids, database.Fault(err)
}

func (r *sqlRepository) ListProcessing(ctx context.Context, after string, limit int) ([]string, error) {
	var ids []string
	query := r.db.Read(ctx).Model(&imageRow{}).Where("status = 'processing' AND id > ?", after)
	err := query.Order("id").Limit(limit).Pluck("id", &ids).Error
	return ids, database.Fault(err)
}

func (r *sqlRepository) BeginErasure(ctx context.Context, id string) (Erasure, error) {
	var erasure erasureRow
	err := r.db.Write(ctx, func(tx *gorm.DB) error {
		var gone []imageRow
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

func (r *sqlRepository) FindErasure(ctx context.Context, id string) (Erasure, error) {
	var row erasureRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return Erasure{}, notFound()
	}
	return Erasure(row), database.Fault(err)
}

func (r *sqlRepository) ListErasures(ctx context.Context, scope Scope, after string, limit int) ([]Erasure, error) {
	var rows []erasureRow
	err := scoped(r.db.Read(ctx), scope).Where("id > ?", after).Order("id").Limit(limit).Find(&rows).Error
	list := make([]Erasure, len(rows))
	for i, row := range rows {
		list[i] = Erasure(row)
	}
	return list, database.Fault(err)
}

func (r *sqlRepository) FinishErasure(ctx context.Context, id string) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Where("id = ?", id).Delete(&erasureRow{}).Error
	}))
}

// scoped narrows a query to a scope. No user has the number 0, so the zero
// Scope finds nothing.
func scoped(tx *gorm.DB, scope Scope) *gorm.DB {
	if scope == Everyone() {
		return tx
	}
	return tx.Where("user_id = ?", scope.number)
}

func notFound() error { return fault.NotFoundf("There is no image with this id.") }

type imageRow struct {
	ID               string `gorm:"primaryKey"`
	UserID           *int64
	RequestID        string
	Prompt           string
	NegativePrompt   string
	Size             string
	Style            string
	Seed             *int64
	Status           string
	Instance         string
	Provider         string
	Model            string
	ErrorCode        string
	ErrorDetail      string
	S3Key            string `gorm:"column:s3_key"`
	S3Bucket         string `gorm:"column:s3_bucket"`
	Width            int
	Height           int
	FileSizeBytes    int64
	ProcessingTimeMS int64 `gorm:"column:processing_time_ms"`
	Metadata         string
	CreatedAt        time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt        time.Time `gorm:"autoUpdateTime:false"`
}

func (imageRow) TableName() string { return "images" }

// rowMetadata is the JSON in the column metadata.
type rowMetadata struct {
	ContentType       string     `json:"content_type,omitempty"`
	SourceContentType string     `json:"source_content_type,omitempty"`
	SHA256            string     `json:"sha256,omitempty"`
	CompletedAt       *time.Time `json:"completed_at,omitempty"`
}

type erasureRow struct {
	ID         string `gorm:"primaryKey"`
	UserID     *int64
	Processing bool
	Instance   string
}

func (erasureRow) TableName() string { return "image_erasures" }

func rowOf(image Image) (imageRow, error) {
	metadata := rowMetadata{SourceContentType: image.Media.SourceContentType, SHA256: image.Media.SHA256}
	if image.Status == StatusCompleted {
		metadata.ContentType = pngType
	}
	updated := image.CreatedAt
	if !image.FinishedAt.IsZero() {
		updated = image.FinishedAt
		metadata.CompletedAt = &updated
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		return imageRow{}, fmt.Errorf("encode the metadata of an image: %w", err)
	}
	return imageRow{
		ID: image.ID, UserID: image.UserID, RequestID: image.RequestID,
		Prompt: image.Prompt, NegativePrompt: image.NegativePrompt, Size: image.Size, Style: image.Style, Seed: image.Seed,
		Status: string(image.Status), Instance: image.Instance, Provider: image.Provider, Model: image.Model,
		ErrorCode: image.Failure.Code, ErrorDetail: image.Failure.Detail, S3Key: image.Key, S3Bucket: image.Bucket,
		Width: image.Media.Width, Height: image.Media.Height, FileSizeBytes: image.Media.Bytes,
		ProcessingTimeMS: image.Took.Milliseconds(), Metadata: string(text),
		CreatedAt: image.CreatedAt.UTC(), UpdatedAt: updated.UTC(),
	}, nil
}

func (row imageRow) image() (Image, error) {
	var metadata rowMetadata
	if err := json.Unmarshal([]byte(row.Metadata), &metadata); err != nil {
		return Image{}, fault.Wrap(err, fault.Internal, "row_damaged", "A stored image cannot be read.")
	}
	return row.imageWith(metadata), nil
}

// listed returns the image as lists have it, whatever its metadata are.
func (row imageRow) listed() Image {
	image, err := row.image()
	if err != nil {
		image = row.imageWith(rowMetadata{})
		image.Damage = err
	}
	return image
}

func (row imageRow) imageWith(metadata rowMetadata) Image {
	image := Image{
		ID: row.ID, UserID: row.UserID, RequestID: row.RequestID,
		Prompt: row.Prompt, NegativePrompt: row.NegativePrompt, Size: row.Size, Style: row.Style, Seed: row.Seed,
		Status: Status(row.Status), Instance: row.Instance, Failure: Failure{Code: row.ErrorCode, Detail: row.ErrorDetail},
		Provider: row.Provider, Model: row.Model, Key: row.S3Key, Bucket: row.S3Bucket,
		Media: Media{
			Width: row.Width, Height: row.Height, Bytes: row.FileSizeBytes,
			SHA256: metadata.SHA256, SourceContentType: metadata.SourceContentType,
		},
		Took:      time.Duration(row.ProcessingTimeMS) * time.Millisecond,
		CreatedAt: row.CreatedAt.UTC(),
	}
	if metadata.CompletedAt != nil {
		image.FinishedAt = metadata.CompletedAt.UTC()
	}
	return image
}
