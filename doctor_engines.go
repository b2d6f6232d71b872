package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/redisclient"
)

// checkDatabase looks at the SQL engine, its schema and its clock. A server
// looks at the connections that it works with.
func (e *examination) checkDatabase(ctx context.Context) []finding {
	if e.server != nil {
		return inspectDatabase(ctx, e.cfg, e.server.db)
	}
	if _, err := os.Stat(e.cfg.SQLStore()); e.cfg.PostgresDSN() == "" && errors.Is(err, os.ErrNotExist) {
		return []finding{fine(areaDatabase, "sqlite", "made at the first start, "+e.cfg.SQLStore())}
	}
	db, err := openDatabase(ctx, e.cfg, slog.New(slog.DiscardHandler), false)
	if err != nil {
		return []finding{failedDatabase(e.cfg, err)}
	}
	defer func() { _ = db.Close() }()
	return inspectDatabase(ctx, e.cfg, db)
}

func failedDatabase(cfg config.Config, err error) finding {
	if cfg.PostgresDSN() == "" {
		return failed(areaDatabase, string(database.SQLite), oneLine(err), "Restore a backup, or set DATA_DIR to that of the server.")
	}
	return failed(areaDatabase, string(database.Postgres), oneLine(err), "Check that it runs and that DATABASE_URL or DATABASE_HOST is right.")
}

func inspectDatabase(ctx context.Context, cfg config.Config, db *database.DB) []finding {
	if err := db.Ping(ctx); err != nil {
		return []finding{failedDatabase(cfg, errors.New("it does not answer"))} // a driver's error may name a user
	}
	return append([]finding{inspectSchema(ctx, cfg, db)}, compareDatabaseClock(ctx, db)...)
}

func inspectSchema(ctx context.Context, cfg config.Config, db *database.DB) finding {
	name := string(db.Dialect())
	schema, err := db.CheckSchema(ctx, migrations.Files)
	if err != nil {
		return failed(areaDatabase, name, oneLine(err), "llmhist migrate status shows what is recorded.")
	}
	if schema.Pending == 0 {
		return fine(areaDatabase, name, fmt.Sprintf("answers, schema %d is up to date", schema.Version))
	}
	action := "They are applied at the next start, or by llmhist migrate up."
	if cfg.Database.Migrate == config.MigrateManual {
		action = "Run llmhist migrate up: DATABASE_MIGRATE is manual."
	}
	return warned(areaDatabase, name, fmt.Sprintf("answers, %d migrations are pending", schema.Pending), action)
}

// checkDocuments opens MongoDB as serving does, which takes at most five
// seconds, and closes it again; so do the checks below with their engines.
func (e *examination) checkDocuments(ctx context.Context) []finding {
	if e.cfg.Mongo.URI == "" {
		return []finding{fine(areaDocuments, "sql", "chats and events are in the SQL database")}
	}
	documents, err := database.OpenMongo(ctx, e.cfg.Mongo.URI, e.cfg.Mongo.DBName, slog.New(slog.DiscardHandler))
	if err == nil {
		err = documents.Close(ctx)
	}
	return []finding{engineFinding(areaDocuments, "mongodb", "answers, database "+e.cfg.Mongo.DBName, "MONGO_URI", err)}
}

// checkObjects makes sure that both buckets are there and can be written.
func (e *examination) checkObjects(ctx context.Context) []finding {
	if e.cfg.S3.Endpoint == "" {
		return []finding{e.checkObjectFiles()}
	}
	list := []finding{}
	for _, bucket := range []struct{ name, setting string }{{e.cfg.S3.Bucket, "S3_BUCKET"}, {e.cfg.S3.SpeechBucket, "S3_SPEECH_BUCKET"}} {
		store, err := openS3(ctx, e.cfg, bucket.name, false)
		if err == nil {
			store.Close()
		}
		list = append(list, engineFinding(areaObjects, bucket.name, "S3: exists, is writable and honours conditional writes", "S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY and "+bucket.setting, err))
	}
	return list
}

func (e *examination) checkObjectFiles() finding {
	dir := filepath.Join(e.cfg.Data.Dir, "objects")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return fine(areaObjects, "files", "made at the first start, "+dir)
	}
	if err := datadir.Create(dir); err != nil {
		return failed(areaObjects, "files", oneLine(err), "Make it writable for this user, or set DATA_DIR.")
	}
	return fine(areaObjects, "files", dir+" is writable")
}

func (e *examination) checkLimits(ctx context.Context) []finding {
	if e.cfg.Redis.URL == "" {
		return []finding{fine(areaLimits, "memory", "limits are counted in the process")}
	}
	client, err := redisclient.Open(ctx, e.cfg.Redis.URL)
	if err == nil {
		err = client.Close()
	}
	return []finding{engineFinding(areaLimits, "redis", "answers", "REDIS_URL", err)}
}

// engineFinding is fine with a detail unless there is an error, which names the
// setting that is wrong.
func engineFinding(area, name, detail, settings string, err error) finding {
	if err != nil {
		return failed(area, name, oneLine(err), "Check "+settings+", and that it runs there.")
	}
	return fine(area, name, detail)
}
