//go:build !race

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

// command runs the binary to its end and returns what it said on both outputs.
func command(t *testing.T, binary string, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	run := exec.CommandContext(t.Context(), binary, args...)
	run.Env, run.Stdout, run.Stderr = append(os.Environ(), env...), &out, &errs
	err = run.Run()
	return out.String(), strings.TrimSpace(errs.String()), err
}

// eachEmptyStore runs test with the settings of an empty SQL store of every
// engine.
func eachEmptyStore(t *testing.T, test func(t *testing.T, env []string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, []string{"DATA_DIR=" + t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) {
		test(t, []string{"DATA_DIR=" + t.TempDir(), "DATABASE_URL=" + testkit.PostgresURL(t)})
	})
}

func TestFourProcessesThatStartAtOnceMigrateOnce(t *testing.T) {
	binary := buildBinary(t)
	eachEmptyStore(t, func(t *testing.T, env []string) {
		said := make([]string, 4)
		var group sync.WaitGroup
		for i := range said {
			group.Go(func() {
				out, errs, err := command(t, binary, env, "migrate", "up")
				if err != nil {
					t.Errorf("process %d: %v %s", i, err, errs)
				}
				said[i] = out
			})
		}
		group.Wait()
		list, err := migrations.Files.ReadDir("sqlite")
		if err != nil {
			t.Fatal(err)
		}
		all, none := fmt.Sprintf("%d migrations applied", len(list)), 0
		for _, line := range said {
			if strings.HasPrefix(line, "0 migrations applied") {
				none++
			} else if !strings.Contains(line, all) {
				t.Errorf("a process said %q", line)
			}
		}
		if none != 3 {
			t.Errorf("not one process applied all: %q", said)
		}
	})
}

func TestFourServersThatStartAtOnceOnOnePostgreSQLAllServe(t *testing.T) {
	binary, env := buildBinary(t), clusterEnv(t)
	var group sync.WaitGroup
	for range 4 {
		dir := t.TempDir()
		group.Go(func() { start(t, binary, dir, env...) })
	}
	group.Wait()
}

func TestWithManualMigrationsServeSaysWhatToRun(t *testing.T) {
	binary := buildBinary(t)
	eachEmptyStore(t, func(t *testing.T, env []string) {
		env = append(env, "DATABASE_MIGRATE=manual", "PORT=0", "ADMIN_EMAIL="+adminEmail, "ADMIN_PASSWORD="+adminPassword)
		for _, args := range [][]string{{"serve"}, {"admin", "promote", "--email", adminEmail}} {
			_, errs, err := command(t, binary, env, args...)
			if err == nil || strings.Contains(errs, "\n") || !strings.Contains(errs, "run llmhist migrate up") {
				t.Errorf("%v said %v: %s", args, err, errs)
			}
		}
		if out, errs, err := command(t, binary, env, "migrate", "up"); err != nil || !strings.Contains(out, "up to date") {
			t.Fatalf("%v %s %s", err, out, errs)
		}
		dir := strings.TrimPrefix(env[0], "DATA_DIR=")
		start(t, binary, dir, env...)
	})
}

func TestMigrateNeedsNothingButTheDatabase(t *testing.T) {
	binary, url := buildBinary(t), testkit.PostgresURL(t)
	file := filepath.Join(t.TempDir(), "a file, no directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"DATABASE_URL=" + url, "DATA_DIR=" + filepath.Join(file, "data"), "MONGO_URI=mongodb://127.0.0.1:1/", "REDIS_URL=redis://127.0.0.1:1",
		"S3_ENDPOINT=http://127.0.0.1:1", "S3_ACCESS_KEY=a", "S3_SECRET_KEY=b",
	}
	for _, args := range [][]string{{"migrate", "status"}, {"migrate", "up"}, {"migrate", "status"}} {
		if out, errs, err := command(t, binary, env, args...); err != nil {
			t.Errorf("%v: %v %s %s", args, err, out, errs)
		}
	}
}

// TestAnOlderReleaseWorksAgainAfterItsCopyIsPutBack upgrades a data directory
// of a release that knew one migration less and goes back, as operations.md
// says.
func TestAnOlderReleaseWorksAgainAfterItsCopyIsPutBack(t *testing.T) {
	binary, dir := buildBinary(t), t.TempDir()
	env := []string{"DATA_DIR=" + dir}
	p := start(t, binary, dir)
	userToken(p, true)
	p.stop()
	makeOlder(t, dir)

	out, errs, err := command(t, binary, env, "migrate", "up")
	if err != nil {
		t.Fatal(err, errs)
	}
	copies, err := filepath.Glob(filepath.Join(dir, "backups", "llmhist-before-*.db"))
	if err != nil || len(copies) != 1 || !strings.Contains(out, copies[0]) {
		t.Fatalf("copies: %v; it said %s", copies, out)
	}
	for _, name := range []string{"llmhist.db-wal", "llmhist.db-shm"} {
		_ = os.Remove(filepath.Join(dir, name))
	}
	data, err := os.ReadFile(copies[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "llmhist.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	// It is the older database again, so that the next start copies and migrates it.
	if out, _, err := command(t, binary, env, "migrate", "status"); err != nil || !strings.Contains(out, "pending") {
		t.Errorf("%v %s", err, out)
	}
	p = start(t, binary, dir, "LOG_LEVEL=info")
	userToken(p, false)
	if !strings.Contains(p.output.String(), "the database was copied before its migration") || !strings.Contains(p.output.String(), "llmhist-before-") {
		t.Errorf("the start does not say where the copy is:\n%s", p.output)
	}
}

// stop ends the server as an operator does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.kill(syscall.SIGTERM); err != nil {
		p.t.Fatalf("a graceful stop ends with %v\n%s", err, p.output)
	}
}

// makeOlder takes the last migration back.
func makeOlder(t *testing.T, dir string) {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), filepath.Join(dir, "llmhist.db"), testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	list, err := db.Migrations(t.Context(), migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	last := list[len(list)-1]
	text, err := migrations.Files.ReadFile("sqlite/" + last.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, down, _ := strings.Cut(string(text), "-- +goose Down")
	for _, statement := range []string{down, fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id = %d", last.Version)} {
		if _, err := db.Handle().ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileThatIsNoDatabaseIsNamed(t *testing.T) {
	binary, dir := buildBinary(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "llmhist.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, err := command(t, binary, []string{"DATA_DIR=" + dir, "PORT=0"}, "serve")
	if err == nil || strings.Contains(errs, "\n") || !strings.Contains(errs, filepath.Join(dir, "llmhist.db")) || !strings.Contains(errs, "estore") {
		t.Errorf("%v: %s", err, errs)
	}
}

func TestTheDoctorAndTheStatusNameAMissingMigration(t *testing.T) {
	cfg, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	binary := buildBinary(t)
	cfg.Data.Dir = t.TempDir()
	env := []string{"DATA_DIR=" + cfg.Data.Dir}
	if _, errs, err := command(t, binary, env, "migrate", "up"); err != nil {
		t.Fatal(err, errs)
	}
	db, err := database.OpenSQLite(t.Context(), cfg.SQLStore(), testkit.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Handle().ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id = 2"); err != nil {
		t.Fatal(err)
	}
	doctor := examination{cfg: cfg, now: time.Now()}
	if f := doctor.checkDatabase(t.Context())[0]; f.Status != statusError || !strings.Contains(f.Detail, "00002_image.sql") || !strings.Contains(f.Action, "migrate status") {
		t.Errorf("the doctor: %+v", f)
	}
	out, errs, err := command(t, binary, env, "migrate", "status")
	if err == nil || !strings.Contains(out, "MISSING") || !strings.Contains(errs, "00002_image.sql") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
}
