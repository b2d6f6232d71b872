package database_test

import (
	"path/filepath"
	"sync"
	"testing"

	"gorm.io/gorm"

	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestEveryConnectionHasTheSettingsDurabilityRestsOn(t *testing.T) {
	db, err := database.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "odd name?#%41.db"), testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	settings := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"}
	check := func(tx *gorm.DB, queryOnly string) {
		settings["query_only"] = queryOnly
		if queryOnly == "0" {
			delete(settings, "busy_timeout") // Write waits as long as it has time left
		}
		for name, want := range settings {
			var got string
			if err := tx.Raw("PRAGMA " + name).Scan(&got).Error; err != nil || got != want {
				t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
			}
		}
	}
	var open []*gorm.DB // readers held at once are connections of their own
	for range 4 {
		reader := db.Read(t.Context()).Begin()
		check(reader, "1")
		open = append(open, reader)
	}
	if err := db.Write(t.Context(), func(tx *gorm.DB) error { check(tx, "0"); return nil }); err != nil {
		t.Error(err)
	}
	for _, reader := range open {
		reader.Rollback()
	}
}

func TestProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "new.db")
		counts := make([]int, 4)
		var group sync.WaitGroup
		for i := range counts {
			group.Go(func() { // flock is per open file: one process is as good as several
				db, err := database.OpenSQLite(t.Context(), path, testkit.Logger())
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = db.Close() }()
				if counts[i], err = db.Migrate(t.Context(), migrations.Files); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		total, most := 0, 0
		for _, count := range counts {
			total, most = total+count, max(most, count)
		}
		if total == 0 || total != most {
			t.Fatalf("the migrations were applied %v times", counts)
		}
	}
}

func TestADiskThatBecameReadOnlyIsUnavailable(t *testing.T) {
	db := testkit.SQLite(t)
	err := db.Read(t.Context()).Exec("DELETE FROM users").Error // a reader's connection refuses as such a disk does
	if !fault.Is(database.Fault(err), fault.Unavailable) {
		t.Errorf("got %v", database.Fault(err))
	}
}
