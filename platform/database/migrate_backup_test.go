package database_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func backUp(db *database.DB, files *[]string) database.BeforeMigration {
	return func(ctx context.Context, change database.Change) error {
		file, err := db.BackUpBefore(ctx, change.To)
		*files = append(*files, file)
		return err
	}
}

func TestAnOlderDatabaseIsCopiedBeforeItIsMigrated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a %41 dir?#")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := store{database.SQLite, filepath.Join(dir, "test.db")}
	db := s.open(t)
	var made []string
	if _, err := db.Migrate(t.Context(), steps(makeBirds), backUp(db, &made)); err != nil || len(made) != 0 {
		t.Fatalf("a new database was copied to %v (%v)", made, err)
	}
	execute(t, db, "INSERT INTO birds VALUES (7)")
	if _, err := db.Migrate(t.Context(), steps(makeBirds, "DROP TABLE birds;"), backUp(db, &made)); err != nil || len(made) != 1 {
		t.Fatalf("%v, %v", made, err)
	}
	info, err := os.Stat(made[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	if name := filepath.Base(made[0]); filepath.Dir(made[0]) != filepath.Join(dir, "backups") || !strings.HasPrefix(name, "test-before-2-2") || !strings.HasSuffix(name, "Z.db") {
		t.Errorf("it is at %s", made[0])
	}
	if dirInfo, err := os.Stat(filepath.Dir(made[0])); err != nil || dirInfo.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v %v", dirInfo.Mode(), err)
	}
	// The older release works on the copy as it stands.
	old := store{database.SQLite, made[0]}.open(t)
	schema, err := old.CheckSchema(t.Context(), steps(makeBirds))
	if err != nil || schema.Pending != 0 {
		t.Errorf("the copy: %+v %v", schema, err)
	}
	var birds int
	if err := old.Handle().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM birds WHERE id = 7").Scan(&birds); err != nil || birds != 1 {
		t.Errorf("the copy has %d of the bird (%v)", birds, err)
	}
	made = nil
	if _, err := db.Migrate(t.Context(), steps(makeBirds, "DROP TABLE birds;"), backUp(db, &made)); err != nil || len(made) != 0 {
		t.Errorf("an up-to-date database was copied to %v (%v)", made, err)
	}
}

func TestTheNewestThreeCopiesAreKeptAndTheFirstBeforeThisVersion(t *testing.T) {
	s := store{database.SQLite, filepath.Join(t.TempDir(), "test.db")}
	db := s.open(t)
	migrate(t, db, steps(makeBirds), 1)
	backups := filepath.Join(filepath.Dir(s.where), "backups")
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"test-before-2-20260101T000000.000Z.db", "test-before-3-20260201T000000.000Z.db",
		"test-before-4-20260301T000000.000Z.db", "test-before-4-20260302T000000.000Z.db", "test-before-4-20260303T000000.000Z.db", "test-before-4-20260304T000000.000Z.db",
		"mine.db", "other-before-2-20260101T000000.000Z.db", "test-before-4-20260303T000000.000Z.db.part", "test-before-4-20260303T000000.000Z.db.part-journal",
	} {
		if err := os.WriteFile(filepath.Join(backups, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newest, err := db.BackUpBefore(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"mine.db", "other-before-2-20260101T000000.000Z.db",
		"test-before-4-20260301T000000.000Z.db", "test-before-4-20260303T000000.000Z.db", "test-before-4-20260304T000000.000Z.db", filepath.Base(newest),
	}
	if got := names(t, backups); !slices.Equal(got, want) {
		t.Errorf("kept %v\nwant %v", got, want)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func TestWithoutSpaceForACopyNothingIsChanged(t *testing.T) {
	dir := smallDisk(t, "8m")
	db := store{database.SQLite, filepath.Join(dir, "test.db")}.open(t)
	migrate(t, db, steps(makeBirds), 1)
	var made []string
	n, err := db.Migrate(t.Context(), steps(makeBirds, makeNests), backUp(db, &made))
	if n != 0 || !errors.Is(err, database.ErrNoSpace) || !strings.Contains(err.Error(), "MiB free") || !strings.Contains(err.Error(), "--no-backup") {
		t.Fatalf("%d applied, %v", n, err)
	}
	if got := states(t, db, steps(makeBirds, makeNests)); got != "1 applied, 2 pending" {
		t.Errorf("the state is %q", got)
	}
	if left := names(t, filepath.Join(dir, "backups")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	migrate(t, db, steps(makeBirds, makeNests), 1)
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("LLMHIST_TEST_ALL") != "" && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: a small disk can only be mounted by root:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestPostgreSQLIsNotCopied(t *testing.T) {
	if file, err := testkit.Postgres(t).BackUpBefore(t.Context(), 9); file != "" || err != nil {
		t.Errorf("%q, %v", file, err)
	}
}
