package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"llmhist/platform/archive"
	"llmhist/platform/database"
)

// BackupParams says what to back up and where to.
type BackupParams struct {
	From     Engines
	Path     string // of the backup: a name ending in .tar, .tar.gz or .tgz is one file, any other a directory
	Version  string // of the product
	Schema   int64  // number of the last migration
	Keys     map[string]string
	Progress *Progress
}

// Result is what a transfer moved.
type Result struct {
	Path     string // of a backup; ends in ".incomplete" when objects were missing
	Manifest archive.Manifest
}

// Backup writes one consistent set while the installation goes on serving. Keys
// maps names in the set to files of secrets to include. When objects are missing
// the set is kept under a name that says so, and Result.Manifest tells which.
func Backup(ctx context.Context, p BackupParams) (result Result, err error) {
	ctx = unhurried(ctx)
	writer, err := archive.Create(p.Path)
	if err != nil {
		return Result{}, err
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, writer.Abort())
		}
	}()
	x := &objectExport{from: p.From, besideServers: true, stage: writer.Stage(), dir: writer.Dir(), progress: p.Progress, to: sink{list: writer.AddObject}}
	if err := x.exportAll(ctx); err != nil {
		return Result{}, err
	}
	for name, file := range p.Keys {
		data, err := os.ReadFile(file)
		if err != nil {
			return Result{}, fmt.Errorf("the key %s cannot be read: %w", name, err)
		}
		if err := writer.AddKey(name, data); err != nil {
			return Result{}, err
		}
	}
	p.Progress.Begin("writing")
	m := archive.Manifest{
		Product: "llmhist", Version: p.Version, Schema: p.Schema, CreatedAt: time.Now().UTC().Truncate(time.Second),
		Engines: p.From.kinds(), Missing: x.missing,
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	result.Path, result.Manifest, err = writer.Finish(m, streams())
	done = err == nil
	return result, err
}

// exportAll exports the rows, and then the objects that they have.
func (x *objectExport) exportAll(ctx context.Context) error {
	planned := filepath.Join(x.dir, "plan")
	if err := os.MkdirAll(planned, 0o700); err != nil {
		return err
	}
	x.plan = archive.NewStage(planned)
	defer x.plan.Close()
	x.progress.Begin("rows")
	if err := x.from.exportRows(ctx, countedRows{x.stage, x.progress}, x.plan, x.besideServers); err != nil {
		return err
	}
	for _, name := range streams() {
		if _, err := x.stage.Finish(name); err != nil {
			return err
		}
	}
	x.progress.Begin("objects")
	return x.run(ctx)
}

// SchemaOf returns the number of the last migration that db has, or an error
// when some are pending: rows are read as this release stores them.
func SchemaOf(list []database.Migration) (int64, error) {
	var last int64
	for _, one := range list {
		if one.AppliedAt.IsZero() {
			return 0, errors.New("the database has an older schema than this release: start this release on it once, run llmhist migrate up, or use the release that serves from it")
		}
		last = max(last, one.Version)
	}
	return last, nil
}
