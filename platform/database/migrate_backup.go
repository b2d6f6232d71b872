package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// keptBackups is how many copies from before migrations are kept.
	keptBackups = 3
	// migrationReserve is what must be free beside a copy, for the migration.
	migrationReserve = 16 << 20
)

// ErrNoSpace says that the disk has no room for a copy of the database.
var ErrNoSpace = errors.New("not enough free disk space to copy the database before its migration")

// BackUpBefore copies the SQLite file as it is now to
// backups/<name>-before-<version>-<UTC time>.db beside it, and returns where
// that is. The copy is a whole database of mode 0600, read through for damage
// and on the disk when BackUpBefore returns. The newest three are kept, and the
// first one that was made before this version. It is ErrNoSpace, with nothing
// changed, when there is no room. PostgreSQL has its own tools: there it does
// nothing and returns "".
func (db *DB) BackUpBefore(ctx context.Context, version int64) (string, error) {
	if db.dialect != SQLite {
		return "", nil
	}
	dir, err := filepath.Abs(filepath.Join(db.dir, "backups"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of backups: %w", err)
	}
	if err := db.refuseWithoutSpace(ctx, dir); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-before-%d-%s.db", db.name, version, time.Now().UTC().Format(backupTime))
	file := filepath.Join(dir, name)
	if err := db.copyTo(ctx, file); err != nil {
		return "", err
	}
	return file, pruneBackups(dir, db.name, version)
}

// refuseWithoutSpace is ErrNoSpace when a copy and the migration after it would
// not fit.
func (db *DB) refuseWithoutSpace(ctx context.Context, dir string) error {
	var size, spare, page int64
	for name, value := range map[string]*int64{"page_count": &size, "freelist_count": &spare, "page_size": &page} {
		if err := db.Handle().QueryRowContext(ctx, "PRAGMA "+name).Scan(value); err != nil {
			return fmt.Errorf("read the size of the database: %w", err)
		}
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("read the free space of %s: %w", dir, err)
	}
	copied := (size - spare) * page
	needed, free := copied+copied/4+migrationReserve, int64(disk.Bavail)*int64(disk.Bsize)
	if free >= needed {
		return nil
	}
	return noSpace(dir, free, needed)
}

func noSpace(dir string, free, needed int64) error {
	return fmt.Errorf("%w: %s has %d MiB free and %d MiB are needed. Free some, or make a backup elsewhere and run migrate up --no-backup; nothing was changed",
		ErrNoSpace, dir, free>>20, (needed>>20)+1)
}

// copyTo makes the copy under another name first, so that a whole one is never
// mistaken for a part.
func (db *DB) copyTo(ctx context.Context, file string) (err error) {
	part := file + ".part"
	if err := removeParts(filepath.Dir(file)); err != nil {
		return err
	}
	made, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make the copy of the database: %w", err)
	}
	defer func() {
		_ = made.Close()
		if err != nil {
			_ = os.Remove(part)
		}
	}()
	if _, err := db.Handle().ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		if outOfSpace(err) {
			return fmt.Errorf("%w: %s is full. Free some space; nothing was changed", ErrNoSpace, filepath.Dir(file))
		}
		return fmt.Errorf("copy the database to %s: %w", file, err)
	}
	if err := made.Sync(); err != nil {
		return fmt.Errorf("copy the database to %s: %w", file, err)
	}
	if err := checkCopy(ctx, part); err != nil {
		return fmt.Errorf("the copy of the database at %s is not readable; nothing was changed: %w", part, err)
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	return syncDirectories(filepath.Dir(file), filepath.Dir(filepath.Dir(file)))
}

// removeParts removes what a process that was killed left behind. The lock of
// the migration is held.
func removeParts(dir string) error {
	parts, err := filepath.Glob(filepath.Join(dir, "*.db.part*")) // with journals
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := os.Remove(part); err != nil {
			return err
		}
	}
	return nil
}

// checkCopy reads the database file at an absolute path through.
func checkCopy(ctx context.Context, path string) error {
	file := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&immutable=1"}
	copied, err := sql.Open("sqlite", file.String())
	if err != nil {
		return err
	}
	defer func() { _ = copied.Close() }()
	var verdict string
	if err := copied.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}

func syncDirectories(dirs ...string) error {
	for _, dir := range dirs {
		handle, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(handle.Sync(), handle.Close()); err != nil {
			return err
		}
	}
	return nil
}

// backupTime sorts as text.
const backupTime = "20060102T150405.000Z"

var backupName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+)-before-(\d+)-(\d{8}T\d{6}\.\d{3}Z)\.db$`) })

type backup struct {
	file, at string
	version  int64
}

// pruneBackups keeps the newest and the first before this version: when a start
// is killed again and again, later copies hold half of the migrations already.
func pruneBackups(dir, database string, version int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	list := []backup{}
	for _, entry := range entries {
		match := backupName().FindStringSubmatch(entry.Name())
		if match == nil || match[1] != database {
			continue
		}
		number, err := strconv.ParseInt(match[2], 10, 64)
		if err != nil {
			continue // not made here
		}
		list = append(list, backup{file: filepath.Join(dir, entry.Name()), at: match[3], version: number})
	}
	slices.SortFunc(list, func(a, b backup) int { return cmp.Or(strings.Compare(a.at, b.at), cmp.Compare(a.version, b.version)) })
	kept := false
	for i, one := range list {
		first := one.version == version && !kept
		kept = kept || first
		if i >= len(list)-keptBackups || first {
			continue
		}
		if err := os.Remove(one.file); err != nil {
			return fmt.Errorf("remove an old copy of the database: %w", err)
		}
	}
	return nil
}
