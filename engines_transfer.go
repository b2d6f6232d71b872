package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/modules/analytics"
	"llmhist/modules/chat"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/transfer"
)

// openedEngines are the stores of one configuration, opened for a command.
type openedEngines struct {
	transfer.Engines
	schema  int64
	closers []func() error
}

// Close closes the stores in the opposite order of their opening.
func (o *openedEngines) Close() error {
	var errs []error
	for i := len(o.closers) - 1; i >= 0; i-- {
		errs = append(errs, o.closers[i]())
	}
	o.closers = nil
	return errors.Join(errs...)
}

// engineUse says what a command does with the stores it opens.
type engineUse struct {
	beside bool // a server may be at work on them: they are only read, and nothing is created
	create bool // they are made, and brought up to date, where they are not there
}

// openEngines opens the stores of cfg. Unless it is done beside a server the
// caller holds the lock of the data directory.
func openEngines(ctx context.Context, cfg config.Config, use engineUse) (_ *openedEngines, err error) {
	o := &openedEngines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if !use.create {
		if _, err := os.Stat(cfg.SQLStore()); cfg.PostgresDSN() == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no database at %s: is --data-dir (DATA_DIR) that of the server?", cfg.SQLStore())
		}
	}
	logger := slog.New(slog.DiscardHandler)
	if o.DB, err = connectDatabase(ctx, cfg, logger, use.create); err != nil {
		return nil, err
	}
	o.closers = append(o.closers, o.DB.Close)
	list, err := o.DB.Migrations(ctx, migrations.Files)
	if err == nil {
		o.schema, err = transfer.SchemaOf(list)
	}
	if err == nil && !use.beside {
		err = requireNoServer(ctx, o.DB, cfg.Data.Dir)
	}
	if err != nil {
		return nil, err
	}
	if err := o.openDocuments(ctx, cfg, use); err != nil {
		return nil, err
	}
	if o.Images, err = o.openBucket(ctx, cfg, cfg.S3.Bucket, use); err != nil {
		return nil, fmt.Errorf("open the image store: %w", err)
	}
	if o.Speech, err = o.openBucket(ctx, cfg, cfg.S3.SpeechBucket, use); err != nil {
		return nil, fmt.Errorf("open the speech store: %w", err)
	}
	return o, nil
}

func (o *openedEngines) openDocuments(ctx context.Context, cfg config.Config, use engineUse) (err error) {
	if cfg.Mongo.URI == "" {
		return nil
	}
	if o.Documents, err = database.OpenMongo(ctx, cfg.Mongo.URI, cfg.Mongo.DBName, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	o.closers = append(o.closers, func() error { return o.Documents.Close(context.WithoutCancel(ctx)) })
	if !use.create {
		return nil
	}
	return errors.Join(chat.EnsureIndexes(ctx, o.Documents), analytics.EnsureIndexes(ctx, o.Documents))
}

func (o *openedEngines) openBucket(ctx context.Context, cfg config.Config, name string, use engineUse) (blob.Bucket, error) {
	root := filepath.Join(cfg.Data.Dir, "objects")
	switch {
	case cfg.S3.Endpoint != "":
		bucket, err := openS3(ctx, cfg, name, !use.create)
		if err == nil {
			o.closers = append(o.closers, func() error { bucket.Close(); return nil })
		}
		return bucket, err
	case use.beside:
		return blob.AttachDirectory(root, name), nil
	case use.create:
		return blob.FillDirectory(root, name)
	default:
		return blob.OpenDirectory(root, name, nil) // nobody is given links
	}
}

// lockDataDir takes the data directories of configurations, each once.
func lockDataDirs(dirs ...string) (unlock func() error, err error) {
	var locks []*datadir.Lock
	unlock = func() error {
		var errs []error
		for _, lock := range locks {
			errs = append(errs, lock.Release())
		}
		return errors.Join(errs...)
	}
	var taken []string
	for _, dir := range dirs {
		if err := datadir.Create(dir); err != nil {
			return nil, errors.Join(err, unlock())
		}
		if sameAsOne(dir, taken) {
			continue
		}
		lock, err := datadir.Acquire(dir)
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		locks, taken = append(locks, lock), append(taken, dir)
	}
	return unlock, nil
}

func sameAsOne(dir string, others []string) bool {
	own, err := os.Stat(dir)
	for _, other := range others {
		if info, otherErr := os.Stat(other); err == nil && otherErr == nil && os.SameFile(own, info) {
			return true
		}
	}
	return false
}

// embedded reports whether everything is kept in the data directory.
func embedded(cfg config.Config) bool {
	return cfg.PostgresDSN() == "" && cfg.Mongo.URI == "" && cfg.S3.Endpoint == ""
}

// scratchIn returns an empty directory for temporary files in a data directory
// whose lock the caller holds, and what removes it.
func scratchIn(dir string) (scratch string, remove func() error, err error) {
	scratch = filepath.Join(dir, ".transfer")
	if err := os.RemoveAll(scratch); err != nil { // of a command that was killed
		return "", nil, err
	}
	return scratch, func() error { return os.RemoveAll(scratch) }, os.Mkdir(scratch, 0o700)
}
