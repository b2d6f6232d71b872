package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"llmhist/bench/rig"
	"llmhist/platform/database"
)

// engine is where the rows of a store are kept.
type engine struct {
	part, name string
	postgres   string // address of the server; "" = SQLite
	missing    string // why it cannot be measured
}

// enginesFor returns the engines that are to be measured.
func enginesFor(o options) []engine {
	var list []engine
	if o.wants(partSQLite) {
		list = append(list, engine{part: partSQLite, name: "SQLite"})
	}
	if o.wants(partPostgres) {
		e := engine{part: partPostgres, name: "PostgreSQL", postgres: o.postgres}
		if o.postgres == "" {
			e.missing = "PostgreSQL, because TEST_DATABASE_URL names no server; bench/stores.sh starts one where PostgreSQL is installed"
		}
		list = append(list, e)
	}
	return list
}

// store is one server with the rows behind it.
type store struct {
	engine engine
	dir    string // data directory
	url    string // of its own database; "" = SQLite in dir
	server *rig.Child

	admin, user rig.Account
}

// openStore starts a server on an empty store and makes two accounts. Close the
// store, also after an error.
func openStore(ctx context.Context, o options, e engine, dir, upstream string) (*store, error) {
	s := &store{engine: e, dir: filepath.Join(dir, "data"),
		admin: rig.Account{Email: "admin@example.org", Password: "correct horse battery staple"},
		user:  rig.Account{Email: "user@example.org", Password: "correct horse battery staple"}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	if e.postgres != "" {
		var err error
		if s.url, err = createDatabase(ctx, e.postgres, "llmhist_bench_"+filepath.Base(dir)); err != nil {
			return s, err
		}
	}
	file := filepath.Join(dir, "bench.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "image:\n  providers: [fake]\n  upstreams:\n    - name: fake\n      type: openai\n"+
		"      base_url: http://%s/v1\n      models: [demo-image]\n", upstream), 0o600); err != nil {
		return s, err
	}
	server := rig.Server{Binary: o.binary, Dir: dir, Env: s.settings(upstream)}
	var err error
	if s.server, _, err = server.Start(ctx, "--config", file); err != nil {
		return s, err
	}
	return s, s.signIn(ctx, server)
}

func (s *store) settings(upstream string) []string {
	env := []string{
		"HOST=127.0.0.1", "DATA_DIR=" + s.dir, "LOG_LEVEL=warn", "LOG_FORMAT=json", "JWT_EXPIRES_IN=12h",
		"CHAT_PROVIDERS=openai", "OPENAI_API_KEY=x", "OPENAI_DEFAULT_MODEL=demo-1", "OPENAI_BASE_URL=http://" + upstream + "/v1",
	}
	if s.url != "" {
		env = append(env, "DATABASE_URL="+s.url)
	}
	return append(env, rig.WithoutLimits()...)
}

func (s *store) signIn(ctx context.Context, server rig.Server) error {
	if err := server.CreateAdmin(ctx, s.admin); err != nil {
		return err
	}
	api := rig.API{Base: "http://" + s.server.Address}
	return errors.Join(api.Register(ctx, s.user), api.SignIn(ctx, &s.admin), api.SignIn(ctx, &s.user))
}

// open opens the database of the store beside its server.
func (s *store) open(ctx context.Context) (*database.DB, error) {
	quiet := slog.New(slog.DiscardHandler)
	if s.url != "" {
		return database.OpenPostgres(ctx, s.url, quiet)
	}
	return database.OpenSQLite(ctx, filepath.Join(s.dir, "llmhist.db"), quiet)
}

func (s *store) close() {
	if s != nil {
		s.server.Stop()
	}
}

// createDatabase makes an empty database and returns its address.
func createDatabase(ctx context.Context, server, name string) (string, error) {
	address, err := url.Parse(server)
	if err != nil {
		return "", errors.New("TEST_DATABASE_URL is not an address")
	}
	db, err := database.OpenPostgres(ctx, server, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", "CREATE DATABASE " + name} {
		if _, err = db.Handle().ExecContext(ctx, statement); err != nil {
			break
		}
	}
	address.Path = "/" + name
	return address.String(), errors.Join(err, db.Close())
}

// versionOf asks the engine for its version.
func versionOf(ctx context.Context, db *database.DB) (string, error) {
	query := "SELECT sqlite_version()"
	if db.Dialect() == database.Postgres {
		query = "SELECT current_setting('server_version') || ', fsync ' || current_setting('fsync')"
	}
	var version string
	err := db.Handle().QueryRowContext(ctx, query).Scan(&version)
	return version, err
}
