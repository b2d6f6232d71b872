package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/modules/analytics"
	"llmhist/modules/chat"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/ratelimit"
)

// openDatabase opens the configured SQL engine and brings its schema up to
// date, unless migrate is false.
func openDatabase(ctx context.Context, cfg config.Config, logger *slog.Logger, migrate bool) (db *database.DB, err error) {
	if dsn := cfg.PostgresDSN(); dsn != "" {
		bounded, cancel := context.WithTimeout(ctx, 4*time.Second) // whoever starts it hears within 5 s
		defer cancel()
		db, err = database.OpenPostgres(bounded, dsn, logger)
	} else {
		db, err = database.OpenSQLite(ctx, cfg.SQLStore(), logger)
	}
	if err != nil || !migrate {
		return db, err
	}
	if _, err := db.Migrate(ctx, migrations.Files); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openDocuments connects to the document store where one is configured.
func (a *App) openDocuments(ctx context.Context) (err error) {
	if a.config.Mongo.URI == "" {
		return nil
	}
	if a.documents, err = database.OpenMongo(ctx, a.config.Mongo.URI, a.config.Mongo.DBName, a.logger); err != nil {
		return err
	}
	a.onClose(a.documents.Close)
	if err := chat.EnsureIndexes(ctx, a.documents); err != nil {
		return err
	}
	return analytics.EnsureIndexes(ctx, a.documents)
}

// openLimiter connects to the shared counter of limits where one is configured.
func (a *App) openLimiter(ctx context.Context) (err error) {
	if a.config.Redis.URL == "" {
		a.limiter = ratelimit.NewLocal(time.Now)
		return nil
	}
	if a.redis, err = ratelimit.OpenRedis(ctx, a.config.Redis.URL, a.logger); err != nil {
		return err
	}
	a.limiter = a.redis
	a.onClose(func(context.Context) error { return a.redis.Close() })
	return nil
}

// openBuckets opens one bucket per service, in the object store or the data
// directory, and the signer of the directory's links.
func (a *App) openBuckets(ctx context.Context) error {
	secret, err := datadir.Secret(a.config.Data.Dir, "links.key")
	if err != nil {
		return err
	}
	a.signer = blob.NewSigner(secret, a.PublicURL, a.config.Links.ExpiresIn, time.Now)
	if a.imageBucket, err = a.openBucket(ctx, a.config.S3.Bucket); err != nil {
		return fmt.Errorf("open the image store: %w", err)
	}
	if a.speechBucket, err = a.openBucket(ctx, a.config.S3.SpeechBucket); err != nil {
		return fmt.Errorf("open the speech store: %w", err)
	}
	return nil
}

func (a *App) openBucket(ctx context.Context, name string) (blob.Bucket, error) {
	if a.config.S3.Endpoint == "" {
		return blob.OpenDirectory(filepath.Join(a.config.Data.Dir, "objects"), name, a.signer)
	}
	bucket, err := openS3(ctx, a.config, name)
	if err != nil {
		return nil, err
	}
	a.onClose(func(context.Context) error { bucket.Close(); return nil })
	return bucket, nil
}

// openS3 opens the bucket called name of the configured object store.
func openS3(ctx context.Context, cfg config.Config, name string) (*blob.S3, error) {
	return blob.OpenS3(ctx, blob.S3Options{
		Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey.Reveal(), SecretKey: cfg.S3.SecretKey, Region: cfg.S3.Region,
		Bucket: name, PublicURL: cfg.S3.PublicURL, LinkLife: cfg.Links.ExpiresIn, TempDir: cfg.Data.Dir,
	})
}

// eventRepository returns where events and their sums are kept.
func (a *App) eventRepository() analytics.Repository {
	if a.documents != nil {
		return analytics.NewMongoRepository(a.documents)
	}
	return analytics.NewRepository(a.db)
}
