package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// The reasons not to work on a schema. The text of each error says what was
// found and what to do.
var (
	// ErrNewerSchema says the database was migrated by a newer release.
	ErrNewerSchema = errors.New("the database schema is newer than this binary: install the release that wrote it, or restore a backup from before the upgrade")
	// ErrBrokenSchema says that migrations are recorded which are not whole.
	ErrBrokenSchema = errors.New("the database schema is not whole")
	// ErrForeignDatabase says the tables there are not of this program.
	ErrForeignDatabase = errors.New("the database is not empty and not of this program")
)

// MigrationState says what a database knows of a migration.
type MigrationState string

// The states.
const (
	Applied MigrationState = "applied"
	Pending MigrationState = "pending" // to be applied after all that are
	Missing MigrationState = "missing" // not applied, although a later one is
	Unknown MigrationState = "unknown" // applied by another release
	Damaged MigrationState = "damaged" // applied, but its tables are not there
)

// Migration is one numbered step of the schema.
type Migration struct {
	Version   int64
	Name      string // "" when Unknown
	State     MigrationState
	AppliedAt time.Time // zero when not applied

	lost []string // tables it made that are not there
}

// Schema says how far a database has come.
type Schema struct {
	Version int64 // the last migration that was applied; 0 = none
	Target  int64 // the last migration there is
	Pending int
}

// CheckSchema reads how far the schema has come and changes nothing. It is
// ErrNewerSchema, ErrBrokenSchema or ErrForeignDatabase when this release
// cannot work on it or migrate it.
func (db *DB) CheckSchema(ctx context.Context, files fs.FS) (Schema, error) {
	steps, err := readSteps(files, db.dialect)
	if err != nil {
		return Schema{}, err
	}
	found, err := db.readSchema(ctx)
	if err != nil {
		return Schema{}, fmt.Errorf("read the database schema: %w", err)
	}
	list := compare(steps, found)
	if err := db.judge(list, found); err != nil {
		return Schema{}, err
	}
	schema := Schema{Target: steps[len(steps)-1].version}
	for _, one := range list {
		if one.State == Applied {
			schema.Version = one.Version
		} else {
			schema.Pending++
		}
	}
	return schema, nil
}

// Migrations lists every migration in order with its state, and changes
// nothing. The error is that of CheckSchema; the list is whole beside it.
func (db *DB) Migrations(ctx context.Context, files fs.FS) ([]Migration, error) {
	steps, err := readSteps(files, db.dialect)
	if err != nil {
		return nil, err
	}
	found, err := db.readSchema(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the database schema: %w", err)
	}
	list := compare(steps, found)
	return list, db.judge(list, found)
}

// foundSchema is what a database holds.
type foundSchema struct {
	recorded map[int64]time.Time // migrations and when they were applied
	tables   map[string]bool     // but for the record
	empty    bool                // a record without its first row
}

// compare says of every migration that is known or recorded what became of it.
func compare(steps []step, found foundSchema) []Migration {
	latest, list := int64(0), []Migration{}
	for version := range found.recorded {
		latest = max(latest, version)
	}
	owner := owners(steps, found.recorded)
	known := map[int64]bool{}
	for _, one := range steps {
		known[one.version] = true
		at, applied := found.recorded[one.version]
		m := Migration{Version: one.version, Name: one.name, State: Pending, AppliedAt: at}
		for _, table := range slices.Sorted(maps.Keys(owner)) {
			if owner[table] == one.version && !found.tables[table] {
				m.lost = append(m.lost, table)
			}
		}
		switch {
		case applied && len(m.lost) > 0:
			m.State = Damaged
		case applied:
			m.State = Applied
		case one.version < latest:
			m.State = Missing
		}
		list = append(list, m)
	}
	for version, at := range found.recorded {
		if !known[version] {
			list = append(list, Migration{Version: version, State: Unknown, AppliedAt: at})
		}
	}
	slices.SortFunc(list, func(a, b Migration) int { return int(a.Version - b.Version) })
	return list
}

// judge refuses what is not an earlier or the present state of this program's
// schema.
func (db *DB) judge(list []Migration, found foundSchema) error {
	first := map[MigrationState]*Migration{}
	last := map[MigrationState]int64{}
	target, whole := int64(0), false
	for i, one := range list {
		if first[one.State] == nil {
			first[one.State] = &list[i]
		}
		last[one.State] = one.Version
		whole = whole || one.State == Applied
		if one.State != Unknown {
			target = one.Version
		}
	}
	other := fmt.Sprintf("Name an empty database (%s), or restore a backup whole", db.setting())
	switch {
	case len(found.recorded) == 0 && (len(found.tables) > 0 || found.empty):
		return fmt.Errorf("%w: it holds %s and no record of migrations (goose_db_version), so that it belongs to another program or was restored in part. %s",
			ErrForeignDatabase, someTables(found.tables), other)
	case len(found.recorded) > 0 && !whole:
		return fmt.Errorf("%w: it records migrations, but none of this program's tables is there. %s", ErrForeignDatabase, other)
	case last[Unknown] > target:
		return fmt.Errorf("%w (database %d, binary %d)", ErrNewerSchema, last[Unknown], target)
	case first[Unknown] != nil:
		return fmt.Errorf("%w: it records migration %d, which this release does not have. Install the release that wrote it, or restore a backup",
			ErrBrokenSchema, first[Unknown].Version)
	case first[Missing] != nil:
		return fmt.Errorf("%w: migration %s is not recorded, although a later one is. Restore a backup, or install the release that wrote it",
			ErrBrokenSchema, first[Missing].Name)
	case first[Damaged] != nil:
		return fmt.Errorf("%w: migration %s is recorded, but its table %s is not there. %s",
			ErrBrokenSchema, first[Damaged].Name, strings.Join(first[Damaged].lost, ", "), other)
	}
	return nil
}

// setting names what leads to this database.
func (db *DB) setting() string {
	if db.dialect == SQLite {
		return "DATA_DIR"
	}
	return "DATABASE_URL or DATABASE_NAME"
}

func someTables(tables map[string]bool) string {
	const shown = 3
	names := slices.Sorted(maps.Keys(tables))
	switch {
	case len(names) == 0:
		return "no table"
	case len(names) > shown:
		return fmt.Sprintf("%d tables (%s, …)", len(names), strings.Join(names[:shown], ", "))
	default:
		return "the table " + strings.Join(names, ", ")
	}
}

const recordTable = "goose_db_version"

// listTables names the tables that unqualified SQL reaches, without those of
// the engine itself and of its extensions.
var listTables = map[Dialect]string{
	SQLite: `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`,
	Postgres: `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence <> 't'
		AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`,
}

// readSchema reads tables and records at one moment, so that another process
// may migrate meanwhile.
func (db *DB) readSchema(ctx context.Context) (found foundSchema, err error) {
	var options *sql.TxOptions
	if db.dialect == Postgres {
		options = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	tx, err := pool(db.read).BeginTx(ctx, options)
	if err != nil {
		return found, err
	}
	defer func() { _ = tx.Rollback() }()
	if found.tables, err = readTables(ctx, tx, db.dialect); err != nil || !found.tables[recordTable] {
		return found, err
	}
	delete(found.tables, recordTable)
	found.recorded, err = readRecords(ctx, tx)
	_, begun := found.recorded[0] // goose's first row, made with the table
	found.empty = !begun
	delete(found.recorded, 0)
	return found, err
}

func readTables(ctx context.Context, tx *sql.Tx, dialect Dialect) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, listTables[dialect])
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	tables := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		tables[name] = true
	}
	return tables, rows.Err()
}

func readRecords(ctx context.Context, tx *sql.Tx) (map[int64]time.Time, error) {
	rows, err := tx.QueryContext(ctx, "SELECT version_id, tstamp FROM "+recordTable+" WHERE is_applied")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	recorded := map[int64]time.Time{}
	for rows.Next() {
		var version int64
		var at sql.NullTime
		if err := rows.Scan(&version, &at); err != nil {
			return nil, err
		}
		recorded[version] = at.Time
	}
	return recorded, rows.Err()
}

// step is one migration as its file has it.
type step struct {
	version int64
	name    string
	changes []tableChange
}

// tableChange is a table that a migration makes, drops or renames.
type tableChange struct{ made, gone string }

// readSteps reads the migrations of a dialect, in order. There is at least one.
func readSteps(files fs.FS, dialect Dialect) ([]step, error) {
	names, err := fs.Glob(files, path.Join(string(dialect), "*.sql"))
	if err != nil {
		return nil, err
	}
	list := []step{}
	for _, file := range names {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", file, err)
		}
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		list = append(list, step{version: version, name: path.Base(file), changes: tableChanges(string(text))})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there are no migrations for %s", dialect)
	}
	slices.SortFunc(list, func(a, b step) int { return int(a.version - b.version) })
	return list, nil
}

// tableChanges finds what changes the set of tables, in the words that the
// migrations use. It is no regular expression: those take longer here than all
// else that a start reads.
func tableChanges(text string) []tableChange {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	list := []tableChange{}
	words := statementWords(up)
	for i := range words {
		switch rest := words[i:]; {
		case startsWith(&rest, "CREATE", "TABLE"), startsWith(&rest, "CREATE", "UNLOGGED", "TABLE"):
			startsWith(&rest, "IF", "NOT", "EXISTS")
			if len(rest) > 1 && (rest[1] == "(" || strings.EqualFold(rest[1], "AS")) {
				list = append(list, tableChange{made: tableName(rest[0])})
			}
		case startsWith(&rest, "DROP", "TABLE"):
			startsWith(&rest, "IF", "EXISTS")
			if len(rest) > 0 {
				list = append(list, tableChange{gone: tableName(rest[0])})
			}
		case startsWith(&rest, "ALTER", "TABLE"):
			startsWith(&rest, "IF", "EXISTS")
			if len(rest) > 3 {
				if renamed := rest[1:]; startsWith(&renamed, "RENAME", "TO") {
					list = append(list, tableChange{made: tableName(renamed[0]), gone: tableName(rest[0])})
				}
			}
		}
	}
	return list
}

// statementWords cuts SQL into words, parentheses and semicolons, without its
// comments.
func statementWords(text string) []string {
	var words []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "--")
		for _, field := range strings.Fields(line) {
			for field != "" {
				end := strings.IndexAny(field, "();")
				switch {
				case end < 0:
					end = len(field)
				case end == 0:
					end = 1
				}
				words = append(words, field[:end])
				field = field[end:]
			}
		}
	}
	return words
}

// startsWith takes the beginning from words when it is this one.
func startsWith(words *[]string, beginning ...string) bool {
	if len(*words) < len(beginning) || !slices.EqualFunc((*words)[:len(beginning)], beginning, strings.EqualFold) {
		return false
	}
	*words = (*words)[len(beginning):]
	return true
}

func tableName(word string) string { return strings.ToLower(strings.Trim(word, `"`)) }

// owners says which migration made each table that must be there after those
// that were applied.
func owners(steps []step, recorded map[int64]time.Time) map[string]int64 {
	list := map[string]int64{}
	for _, one := range steps {
		if _, applied := recorded[one.version]; !applied {
			continue
		}
		for _, change := range one.changes {
			delete(list, change.gone)
			if change.made != "" {
				list[change.made] = one.version
			}
		}
	}
	return list
}
