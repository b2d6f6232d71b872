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
	"llmhist/transfer"
)

// openDatabase opens the configured SQL engine. Unless migrate is false its
// schema is up to date then: it is brought there, or the error says how. It
// refuses one that a restore or a copy has not finished to fill.
func openDatabase(ctx context.Context, cfg config.Config, logger *slog.Logger, migrate bool) (*database.DB, error) {
	db, err := connectDatabase(ctx, cfg, logger, migrate)
	if err != nil || !migrate {
		return db, err
	}
	if err := transfer.Unfinished(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// connectDatabase is openDatabase for those who fill it.
func connectDatabase(ctx context.Context, cfg config.Config, logger *slog.Logger, migrate bool) (db *database.DB, err error) {
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
	if cfg.Database.Migrate == config.MigrateManual {
		err = requireSchema(ctx, db)
	} else {
		_, err = db.Migrate(ctx, migrations.Files, backUpFirst(db, func(file string) {
			logger.InfoContext(ctx, "the database was copied before its migration", "file", file)
		}))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// requireSchema fails with what to do while migrations are pending.
func requireSchema(ctx context.Context, db *database.DB) error {
	schema, err := db.CheckSchema(ctx, migrations.Files)
	if err != nil || schema.Pending == 0 {
		return err
	}
	return fmt.Errorf("the database schema is at version %d and this release needs %d: run llmhist migrate up (DATABASE_MIGRATE is manual)",
		schema.Version, schema.Target)
}

// backUpFirst copies the SQLite file before a migration changes it and tells
// where the copy is.
func backUpFirst(db *database.DB, tell func(file string)) database.BeforeMigration {
	return func(ctx context.Context, change database.Change) error {
		file, err := db.BackUpBefore(ctx, change.To)
		if err == nil && file != "" {
			tell(file)
		}
		return err
	}
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
	bucket, err := openS3(ctx, a.config, name, false)
	if err != nil {
		return nil, err
	}
	a.onClose(func(context.Context) error { bucket.Close(); return nil })
	return bucket, nil
}

// openS3 opens the bucket called name of the configured object store, which has
// to be there when it is only looked at.
func openS3(ctx context.Context, cfg config.Config, name string, existing bool) (*blob.S3, error) {
	return blob.OpenS3(ctx, blob.S3Options{
		Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey.Reveal(), SecretKey: cfg.S3.SecretKey, Region: cfg.S3.Region,
		Bucket: name, Existing: existing, PublicURL: cfg.S3.PublicURL, LinkLife: cfg.Links.ExpiresIn, TempDir: cfg.Data.Dir,
	})
}

// eventRepository returns where events and their sums are kept.
func (a *App) eventRepository() analytics.Repository { return eventRepository(a.db, a.documents) }

func eventRepository(db *database.DB, documents *database.Mongo) analytics.Repository {
	if documents != nil {
		return analytics.NewMongoRepository(documents)
	}
	return analytics.NewRepository(db)
}

// eventOutbox returns the directory in which events wait for their repository.
func eventOutbox(cfg config.Config) string { return filepath.Join(cfg.Data.Dir, "outbox", "analytics") }
