package speech

import (
	"context"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/audio"
	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// gormRepository keeps conversions in SQLite or PostgreSQL.
type gormRepository struct{ db *database.DB }

func newGORMRepository(db *database.DB) *gormRepository { return &gormRepository{db: db} }

const (
	newestFirst = "created_at DESC, id DESC"
	oldestFirst = "created_at, id"
)

func (r *gormRepository) Create(ctx context.Context, c Conversion) error {
	row, err := rowOf(c)
	if err != nil {
		return err
	}
	err = r.db.Write(ctx, func(tx *gorm.DB) error { return tx.Create(&row).Error })
	if database.IsDuplicate(err) {
		return fault.Wrap(err, fault.Conflict, "conversion_exists", "There is a conversion with this id already.")
	}
	return database.Fault(err)
}

func (r *gormRepository) Find(ctx context.Context, id string) (Conversion, error) {
	var row conversionRow
	err := r.db.Read(ctx).Where("id = ?", id).Take(&row).Error
	if database.IsNotFound(err) {
		return Conversion{}, notFound()
	}
	if err != nil {
		return Conversion{}, database.Fault(err)
	}
	return row.conversion()
}

func (r *gormRepository) List(ctx context.Context, filter Filter, limit, offset int) ([]Conversion, int64, error) {
	var total int64
	if err := r.chosen(ctx, filter).Count(&total).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	order, part := newestFirst, database.StretchOf(offset, limit, total)
	if part.Take == 0 {
		return []Conversion{}, total, nil
	}
	if part.Backward {
		order = oldestFirst
	}
	var ids []string // from an index alone, so that skipping is cheap
	if err := r.chosen(ctx, filter).Order(order).Limit(part.Take).Offset(part.Skip).Pluck("id", &ids).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	var rows []conversionRow
	if err := r.db.Read(ctx).Where("id IN ?", ids).Order(newestFirst).Find(&rows).Error; err != nil {
		return nil, 0, database.Fault(err)
	}
	list := make([]Conversion, len(rows))
	for i, row := range rows {
		list[i] = row.listed()
	}
	return list, total, nil
}

// chosen begins a query for what filter chooses.
func (r *gormRepository) chosen(ctx context.Context, filter Filter) *gorm.DB {
	if filter.Text != "" {
		ctx = database.Allow(ctx, database.Search)
	}
	query := r.db.Read(ctx).Model(&conversionRow{})
	if !filter.Everyone {
		query = query.Where("user_id = ?", filter.UserID)
	}
	if filter.Text != "" {
		query = query.Where(`LOWER(text) LIKE LOWER(?) ESCAPE '\'`, database.Contains(filter.Text))
	}
	return query
}

func (r *gormRepository) ListIDs(ctx context.Context, filter Filter, limit int) ([]string, error) {
	filter.Text = ""
	var ids []string
	err := r.chosen(ctx, filter).Order(newestFirst).Limit(limit).Pluck("id", &ids).Error
	return ids, database.Fault(err)
}

func (r *gormRepository) ListUnfinished(ctx context.Context, after string, limit int) ([]string, error) {
	var ids []string
	query := r.db.Read(ctx).Model(&conversionRow{}).Where("status = 'processing' AND id > ?", after)
	err := query.Order("id").Limit(limit).Pluck("id", &ids).Error
	return ids, database.Fault(err)
}

func (r *gormRepository) Finish(ctx context.Context, c Conversion) error {
	row, err := rowOf(c)
	if err != nil {
		return err
	}
	finished := fault.New(fault.Conflict, "already_finished", "This conversion has its outcome already.")
	return r.changeOne(ctx, c.ID, finished, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("status = 'processing' AND instance = ?", c.Instance).
			Select("audio_url", "model", "voice", "language", "speed", "format", "status", "error_code", "error_detail",
				"duration_seconds", "file_size_bytes", "s3_key", "metadata", "updated_at").Updates(&row)
	})
}

func (r *gormRepository) Claim(ctx context.Context, c Conversion, by string) error {
	claimed := fault.New(fault.Conflict, "conversion_claimed", "Another server has taken this conversion over.")
	code := ""
	if c.Failure != nil {
		code = c.Failure.Code
	}
	return r.changeOne(ctx, c.ID, claimed, func(tx *gorm.DB) *gorm.DB {
		return tx.Where("status = ? AND COALESCE(error_code, '') = ? AND instance = ?", string(c.Status), code, c.Instance).
			UpdateColumns(map[string]any{"status": string(StatusProcessing), "error_code": nil, "error_detail": nil, "instance": by})
	})
}

// changeOne changes the conversion if change's conditions hold. It fails with
// refused when they do not, and with a NotFound fault when there is none.
func (r *gormRepository) changeOne(ctx context.Context, id string, refused error, change func(tx *gorm.DB) *gorm.DB) error {
	return database.Fault(r.db.Write(ctx, func(tx *gorm.DB) error {
		done := change(tx.Model(&conversionRow{}).Where("id = ?", id))
		if done.Error != nil || done.RowsAffected == 1 {
			return done.Error
		}
		var left int64
		if err := tx.Model(&conversionRow{}).Where("id = ?", id).Count(&left).Error; err != nil {
			return err
		}
		if left == 0 {
			return notFound()
		}
		return refused
	}))
}

// conversionRow is a row of tts_conversions. What has no value yet is NULL.
type conversionRow struct {
	ID              string `gorm:"primaryKey"`
	UserID          *int64
	Text            string
	AudioURL        *string `gorm:"column:audio_url"`
	Model           string
	Voice           *string
	Language        string
	Speed           float64
	Format          string
	Status          string
	Instance        string
	ErrorCode       *string
	ErrorDetail     *string
	DurationSeconds *float64
	FileSizeBytes   *int64
	S3Key           *string `gorm:"column:s3_key"`
	S3Bucket        string  `gorm:"column:s3_bucket"`
	Metadata        string
	CreatedAt       time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt       time.Time `gorm:"autoUpdateTime:false"`
}

// TableName is the name that the schema fixes.
func (conversionRow) TableName() string { return "tts_conversions" }

func rowOf(c Conversion) (conversionRow, error) {
	facts, err := json.Marshal(metadataOf(c))
	if err != nil {
		return conversionRow{}, err
	}
	row := conversionRow{
		ID: c.ID, UserID: c.UserID, Text: c.Text, Model: c.Model, Voice: orNull(c.Voice), Language: c.Language,
		Speed: c.Speed, Format: string(c.Format), Status: string(c.Status), Instance: c.Instance,
		DurationSeconds: secondsOf(c), FileSizeBytes: sizeOf(c), S3Key: orNull(c.MediaKey()), S3Bucket: c.Bucket,
		Metadata: string(facts), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if c.Status == StatusCompleted {
		row.AudioURL = orNull("/speech/" + c.ID + "/download") // signed links expire; this address stays
	}
	if c.Failure != nil {
		row.ErrorCode, row.ErrorDetail = &c.Failure.Code, &c.Failure.Detail
	}
	return row, nil
}

func (row conversionRow) conversion() (Conversion, error) {
	var facts metadata
	if err := json.Unmarshal([]byte(row.Metadata), &facts); err != nil {
		return Conversion{}, fault.Wrap(err, fault.Internal, "row_damaged", "A stored conversion cannot be read.")
	}
	return row.conversionWith(facts), nil
}

// listed returns the conversion as lists have it, whatever its metadata are.
func (row conversionRow) listed() Conversion {
	c, err := row.conversion()
	if err != nil {
		c = row.conversionWith(metadata{})
		c.Damage = err
	}
	return c
}

func (row conversionRow) conversionWith(facts metadata) Conversion {
	c := Conversion{
		ID: row.ID, UserID: row.UserID, Text: row.Text, Language: row.Language, Voice: orZero(row.Voice),
		Provider: facts.Provider, Model: row.Model, Speed: row.Speed, Format: audio.Format(row.Format),
		Status: Status(row.Status), Instance: row.Instance, Duration: durationOf(row.DurationSeconds), Size: orZero(row.FileSizeBytes),
		Bucket: row.S3Bucket, RequestID: facts.RequestID, Latency: time.Duration(facts.LatencyMS) * time.Millisecond,
		StatusCode: facts.StatusCode, CostUSD: facts.CostUSD,
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
	if row.ErrorCode != nil {
		c.Failure = &Failure{Code: *row.ErrorCode, Detail: orZero(row.ErrorDetail)}
	}
	return c
}

// notFound is the one answer for what is absent and for what is not visible.
func notFound() error { return fault.NotFoundf("There is no speech with this id.") }
