package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/uid"
)

// seeded is what the table of images was filled with.
type seeded struct {
	images  int
	ofUser  int // of each of the ten owners
	took    time.Duration
	span    time.Duration // between the oldest and the newest
	userIDs []int64
}

const (
	owners    = 10
	seedBatch = 10_000 // rows in one transaction
	seedSpan  = 90 * 24 * time.Hour
)

const insertImage = `INSERT INTO images (id, user_id, prompt, size, status, provider, model, s3_key, s3_bucket,
	width, height, file_size_bytes, processing_time_ms, created_at, updated_at)
	VALUES (?, ?, ?, '512x512', 'completed', 'local', 'local/canvas', ?, 'llmhist-image-dev', 512, 512, 123456, 87, ?, ?)`

// seedImages puts count rows into the table, spread evenly over the last 90 days
// and over ten owners, of whom user is one. Lists need no more than the rows:
// there are no objects behind them.
func seedImages(ctx context.Context, file string, count int, user int64) (seeded, error) {
	result := seeded{images: count, ofUser: count / owners, span: seedSpan}
	for i := range int64(owners) {
		result.userIDs = append(result.userIDs, user+i)
	}
	began := time.Now()
	db, err := database.OpenSQLite(ctx, file, slog.New(slog.DiscardHandler))
	if err != nil {
		return result, err
	}
	for first := 0; first < count && err == nil; first += seedBatch {
		err = seedRows(ctx, db.Handle(), first, min(first+seedBatch, count), &result)
	}
	result.took = time.Since(began)
	return result, errors.Join(err, db.Close())
}

func seedRows(ctx context.Context, pool *sql.DB, first, end int, s *seeded) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	insert, err := tx.PrepareContext(ctx, insertImage)
	if err != nil {
		return err
	}
	oldest := uid.Now().Add(-s.span - time.Hour)
	step := s.span / time.Duration(s.images)
	for i := first; i < end; i++ {
		at := oldest.Add(time.Duration(i) * step).Truncate(time.Millisecond)
		id := uid.New(at)
		key := "requests/" + at.Format("2006/01/02/") + id + "/image/original.png"
		prompt := fmt.Sprintf("picture %d: a lighthouse above a calm sea at dusk, wide view", i)
		if _, err := insert.ExecContext(ctx, id, s.userIDs[i%owners], prompt, key, at, at); err != nil {
			return err
		}
	}
	return tx.Commit()
}
