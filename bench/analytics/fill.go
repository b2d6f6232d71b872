package main

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"llmhist/migrations"
	"llmhist/platform/database"
)

// filled says what is in a store.
type filled struct {
	hours, latencies, sums int64         // rows
	loaded, derived        time.Duration // what making the hours and everything else took
}

// sumsStep is the step that makes the longer sums from the hours.
const sumsStep = "00011"

// fill puts the hours of all events straight into their tables, as they are
// before the longer sums are there, and lets the migration make those, as it does
// when an installation is upgraded.
func fill(ctx context.Context, db *database.DB, o options, now time.Time) (filled, error) {
	var f filled
	if schema, err := db.CheckSchema(ctx, migrations.Files); err == nil && schema.Pending == 0 { // of an earlier run
		return f, f.count(ctx, db)
	}
	old, err := stepsBefore(sumsStep)
	if err != nil {
		return f, err
	}
	if _, err := db.Migrate(ctx, old); err != nil {
		return f, err
	}
	before, after := sqliteFilling, sqliteFilled
	if db.Dialect() == database.Postgres {
		before, after = postgresFilling, postgresFilled
	}
	began := time.Now()
	if err := execute(ctx, db, before); err != nil {
		return f, err
	}
	if err := fillHours(ctx, db, o, now); err != nil {
		return f, err
	}
	if err := execute(ctx, db, after); err != nil {
		return f, err
	}
	f.loaded = time.Since(began)
	say("%s: hours of %d events in %s", db.Dialect(), o.events, f.loaded.Round(time.Second))
	began = time.Now()
	if _, err := db.Migrate(ctx, migrations.Files); err != nil {
		return f, err
	}
	f.derived = time.Since(began)
	say("%s: longer sums in %s", db.Dialect(), f.derived.Round(time.Second))
	if err := f.count(ctx, db); err != nil {
		return f, err
	}
	return f, settle(ctx, db)
}

func (f *filled) count(ctx context.Context, db *database.DB) error {
	for table, rows := range map[string]*int64{"analytics_hours": &f.hours, "analytics_latencies": &f.latencies, "analytics_sums": &f.sums} {
		if err := db.Handle().QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(rows); err != nil {
			return err
		}
	}
	return nil
}

// stepsBefore returns the migrations with smaller numbers.
func stepsBefore(number string) (fs.FS, error) {
	some := fstest.MapFS{}
	return some, fs.WalkDir(migrations.Files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(file) >= number {
			return err
		}
		data, err := fs.ReadFile(migrations.Files, file)
		some[file] = &fstest.MapFile{Data: data}
		return err
	})
}

// Nobody waits for the hours to be durable while they are made.
var (
	sqliteFilling   = []string{"PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"}
	sqliteFilled    = []string{"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA cache_size = -4000", "PRAGMA synchronous = FULL"}
	postgresFilling = []string{"SET synchronous_commit = off"}
	postgresFilled  = []string{"VACUUM (ANALYZE)"}
)

// settle does what an engine does in time by itself.
func settle(ctx context.Context, db *database.DB) error {
	if db.Dialect() == database.Postgres {
		return execute(ctx, db, []string{"VACUUM (ANALYZE)", "CHECKPOINT"})
	}
	return execute(ctx, db, []string{"PRAGMA wal_checkpoint(TRUNCATE)"})
}

func execute(ctx context.Context, db *database.DB, statements []string) error {
	for _, statement := range statements {
		if _, err := db.Handle().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

func fillHours(ctx context.Context, db *database.DB, o options, now time.Time) error {
	starts, counts := perHour(o, now)
	c := newCrowd(rand.New(rand.NewPCG(5, 6)), o.accounts)
	const atOnce = 24 // hours with a transaction
	for from := 0; from < len(starts); from += atOnce {
		tx, err := db.Handle().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		hours, err := into(ctx, tx, db.Dialect(), "analytics_hours", "hour", "user_id", "service", "provider", "model", "requests", "failed",
			"input_tokens", "output_tokens", "input_bytes", "output_bytes", "cost_nano_usd",
			"latency_sum_ms", "latency_count", "ttft_sum_ms", "ttft_count", "first_ms", "last_ms")
		if err != nil {
			return err
		}
		latencies, err := into(ctx, tx, db.Dialect(), "analytics_latencies", "hour", "user_id", "service", "provider", "model", "bucket", "requests")
		if err != nil {
			return err
		}
		for i := from; i < min(from+atOnce, len(starts)); i++ {
			if err := insertHour(ctx, hours, latencies, starts[i].Unix(), c.hour(starts[i], counts[i])); err != nil {
				return err
			}
		}
		if err := hours.flush(ctx); err != nil {
			return err
		}
		if err := latencies.flush(ctx); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func insertHour(ctx context.Context, hours, latencies *insertion, hour int64, rows map[rowKey]*row) error {
	for key, r := range rows {
		m := models[key.model]
		err := hours.add(ctx, hour, key.user, m.service, m.provider, m.model, r.requests, r.failed, r.inputTokens, r.outputTokens, r.inputBytes,
			r.outputBytes, r.cost, r.latencySum, r.latencyCount, r.ttftSum, r.ttftCount, r.first, r.last)
		if err != nil {
			return err
		}
		for bucket, n := range r.buckets {
			if err := latencies.add(ctx, hour, key.user, m.service, m.provider, m.model, bucket, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// insertion collects rows for one table.
type insertion struct {
	tx      *sql.Tx
	dialect database.Dialect
	head    string
	width   int
	atOnce  int
	whole   *sql.Stmt
	values  []any
}

func into(ctx context.Context, tx *sql.Tx, dialect database.Dialect, table string, columns ...string) (*insertion, error) {
	i := &insertion{tx: tx, dialect: dialect, head: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ", width: len(columns)}
	i.atOnce = 500 / i.width // SQLite's driver is slow with more parameters
	if dialect == database.Postgres {
		i.atOnce = 10_000 / i.width
	}
	var err error
	i.whole, err = tx.PrepareContext(ctx, i.statement(i.atOnce))
	return i, err
}

func (i *insertion) add(ctx context.Context, row ...any) error {
	if i.values = append(i.values, row...); len(i.values) < i.atOnce*i.width {
		return nil
	}
	_, err := i.whole.ExecContext(ctx, i.values...)
	i.values = i.values[:0]
	return err
}

// flush inserts what is left.
func (i *insertion) flush(ctx context.Context) error {
	if rows := len(i.values) / i.width; rows > 0 {
		if _, err := i.tx.ExecContext(ctx, i.statement(rows), i.values...); err != nil {
			return err
		}
	}
	return i.whole.Close()
}

func (i *insertion) statement(rows int) string {
	one := "(" + strings.Join(slices.Repeat([]string{"?"}, i.width), ",") + ")"
	text := i.head + strings.Join(slices.Repeat([]string{one}, rows), ",")
	if i.dialect != database.Postgres {
		return text
	}
	var b strings.Builder
	for n, part := range strings.Split(text, "?") {
		if n > 0 {
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteString(part)
	}
	return b.String()
}
