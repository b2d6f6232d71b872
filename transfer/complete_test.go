package transfer_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"llmhist/platform/database"
)

// notArchived are the tables that no backup holds, each with its reason.
var notArchived = map[string]string{
	"goose_db_version": "the migrations make it",
	"sqlite_sequence":  "the stream auth.sequence has what matters of it",
	"sqlite_stat1":     "the engine makes it",
	"sqlite_stat4":     "the engine makes it",
	"installation":     "it is about this installation, not about what is in it",
	"image_counts":     "triggers make it from the rows of images",

	"image_counts_fine":  "triggers make it from the rows of images",
	"analytics_sums":     sumsOfHours,
	"analytics_ranks":    sumsOfHours,
	"analytics_accounts": sumsOfHours,
	"idempotency_keys":   "answers that are remembered for a day, to who repeats a request at the server that gave them",
	"instances":          "the processes that serve now, none of which serves what is restored",
	"river_migration":    "the migrations make it",
	"river_job":          "background work is begun anew",
	"river_leader":       "background work is begun anew",
	"river_queue":        "background work is begun anew",
	"river_notification": "background work is begun anew",
}

const sumsOfHours = "it grows with the hours that are imported"

// notArchivedColumns are columns that come back with their default.
var notArchivedColumns = map[string]string{
	"images.instance":          workerGone,
	"image_erasures.instance":  workerGone,
	"tts_conversions.instance": workerGone,
	"tts_erasures.instance":    workerGone,
	"chat_messages.instance":   workerGone,
}

const workerGone = "the server that worked on it does not serve what is restored, so that the next start settles it"

// TestEveryColumnOfEveryTableIsMoved fails for a new table or column until the
// archive of its module has it, or it is named above.
func TestEveryColumnOfEveryTableIsMoved(t *testing.T) {
	first, second := embedded(t), embedded(t)
	original := newFixture(t).write(t, filepath.Join(t.TempDir(), "original"), schema(t, first.DB))
	if err := restore(t, original, first); err != nil {
		t.Fatal(err)
	}
	before := map[string][]string{}
	for _, table := range tables(t, first.DB) {
		before[table] = raw(t, first.DB, table)
	}
	_, reader := backup(t, first, "b")
	if err := restore(t, reader, second); err != nil {
		t.Fatal(err)
	}
	for table, want := range before {
		if len(want) == 0 {
			t.Errorf("the fixture has no rows of %s: add some, or name the table in notArchived", table)
		}
		if columns := saysNothing(t, first.DB, table); len(columns) > 0 {
			t.Errorf("the fixture never sets %v of %s: set them, or name them in notArchivedColumns", columns, table)
		}
		if diff := gocmp.Diff(want, raw(t, second.DB, table)); diff != "" {
			t.Errorf("%s comes back differently:\n%.1500s", table, diff)
		}
	}
}

func tables(t *testing.T, db *database.DB) []string {
	t.Helper()
	var names []string
	if err := db.Read(t.Context()).Raw("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").Scan(&names).Error; err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return notArchived[name] != "" })
}

type column struct {
	Name     string
	Fallback string
}

func columns(t *testing.T, db *database.DB, table string) []column {
	t.Helper()
	var list []column
	if err := db.Read(t.Context()).Raw("SELECT name, COALESCE(dflt_value, '') AS fallback FROM pragma_table_info(?)", table).Scan(&list).Error; err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(c column) bool { return notArchivedColumns[table+"."+c.Name] != "" })
}

// saysNothing lists the columns that have their default in every row, so that
// one which is not moved would not show.
func saysNothing(t *testing.T, db *database.DB, table string) []string {
	t.Helper()
	var list []string
	for _, c := range columns(t, db, table) {
		var telling int64
		query := fmt.Sprintf(`SELECT COUNT(*) FROM %q WHERE %q IS NOT (%s)`, table, c.Name, cmp.Or(c.Fallback, "NULL"))
		if err := db.Read(t.Context()).Raw(query).Scan(&telling).Error; err != nil {
			t.Fatal(err)
		}
		if telling == 0 {
			list = append(list, c.Name)
		}
	}
	return list
}

// raw returns the rows of a table as text, sorted, every column as stored.
func raw(t *testing.T, db *database.DB, table string) []string {
	t.Helper()
	var parts []string
	for _, c := range columns(t, db, table) {
		parts = append(parts, fmt.Sprintf(`'%s=' || COALESCE(CAST(%q AS TEXT), 'NULL')`, c.Name, c.Name))
	}
	var rows []string
	query := fmt.Sprintf(`SELECT %s FROM %q`, strings.Join(parts, ` || ' | ' || `), table)
	if err := db.Read(t.Context()).Raw(query).Scan(&rows).Error; err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}
