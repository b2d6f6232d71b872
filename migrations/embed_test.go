package migrations

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestBothDialectsHaveTheSameSteps(t *testing.T) {
	lists := map[string][]string{}
	for _, dialect := range []string{"sqlite", "postgres"} {
		files, err := fs.Glob(Files, dialect+"/*.sql")
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files for %s, %v", len(files), dialect, err)
		}
		for _, file := range files {
			lists[dialect] = append(lists[dialect], path.Base(file))
		}
	}
	if !slices.Equal(lists["sqlite"], lists["postgres"]) {
		t.Errorf("sqlite has %v\npostgres has %v", lists["sqlite"], lists["postgres"])
	}
}

func TestEveryStepIsOneTransaction(t *testing.T) {
	err := fs.WalkDir(Files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Files, file)
		if strings.Contains(strings.ToUpper(string(text)), "NO TRANSACTION") {
			t.Errorf("%s is not one transaction: a process killed in it would leave half of it, unrecorded", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
