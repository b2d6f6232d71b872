package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"time"

	"llmhist/modules/analytics"
	"llmhist/platform/database"
	"llmhist/platform/logging"
)

// engine is one that is measured: a SQL database, or documents.
type engine struct {
	name      string
	db        *database.DB
	documents *database.Mongo
}

// benchName is the name of databases on servers.
const benchName = "llmhist_bench_analytics"

// open opens an empty database of the engine.
func (o options) open(ctx context.Context, part string) (e engine, err error) {
	e.name = map[string]string{partSQLite: "SQLite", partPostgres: "PostgreSQL", partMongo: "MongoDB"}[part]
	if part != partMongo {
		e.db, err = o.openSQL(ctx, part)
		return e, err
	}
	if e.documents, err = database.OpenMongo(ctx, logging.Secret(o.mongo), benchName, quiet()); err != nil {
		return e, err
	}
	return e, e.documents.Drop(ctx)
}

// openSQL opens an empty database of the engine.
func (o options) openSQL(ctx context.Context, part string) (*database.DB, error) {
	if part == partSQLite {
		return database.OpenSQLite(ctx, filepath.Join(o.dir, "analytics.db"), quiet())
	}
	address, err := url.Parse(o.postgres)
	if err != nil {
		return nil, errors.New("TEST_DATABASE_URL is not an address")
	}
	server, err := database.OpenPostgres(ctx, o.postgres, quiet())
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + benchName + " WITH (FORCE)", "CREATE DATABASE " + benchName} {
		if _, err = server.Handle().ExecContext(ctx, statement); err != nil {
			break
		}
	}
	if err := errors.Join(err, server.Close()); err != nil {
		return nil, err
	}
	address.Path = "/" + benchName
	return database.OpenPostgres(ctx, address.String(), quiet())
}

func (e engine) close(ctx context.Context) error {
	if e.documents == nil {
		return e.db.Close()
	}
	return errors.Join(e.documents.Drop(ctx), e.documents.Close(ctx))
}

func (e engine) repository() analytics.Repository {
	if e.documents == nil {
		return analytics.NewRepository(e.db)
	}
	return analytics.NewMongoRepository(e.documents)
}

// fill puts the sums of all events into the engine.
func (e engine) fill(ctx context.Context, o options, now time.Time) (filled, error) {
	if e.documents == nil {
		return fill(ctx, e.db, o, now)
	}
	return fillDocuments(ctx, e.documents, o, now)
}

// version tells what server it is.
func (e engine) version(ctx context.Context) (string, error) {
	if e.documents == nil {
		return versionOf(ctx, e.db)
	}
	return "the server of TEST_MONGO_URI", nil
}
