package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/platform/archive"
	"llmhist/transfer"
)

func restoreCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore DIR|FILE",
		Short: "Fill empty engines with a backup, or check a backup with --verify",
		Long: `Fill the engines that the configuration names with a backup, whatever engines it
came from. They must be empty and no server may be running on them.

The whole backup is verified first. Nothing is served from the target until all
of it is there, was read back and is what the backup says. A restore that was
interrupted is completed by running it again.

With --replace the data directory of the embedded engines may hold something: a
new one is made beside it, takes its place at the end, and the old one is kept
under a name that is printed. PostgreSQL, MongoDB and S3 have to be emptied by
you.

With --verify nothing that is configured is touched: the backup is restored into
a temporary directory (TMPDIR), compared, and removed. Exit code 0 means that
every row and every object came back.`,
		Args: cobra.ExactArgs(1),
	}
	verify := cmd.Flags().Bool("verify", false, "restore into a temporary directory, compare every count and hash, and remove it")
	replace := cmd.Flags().Bool("replace", false, "replace what is in the data directory, which is kept under another name")
	cmd.MarkFlagsMutuallyExclusive("verify", "replace")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load(cmd)
		if err != nil {
			return err
		}
		job := &restoreJob{cmd: cmd, cfg: cfg, command: "llmhist restore " + args[0], meter: startMeter(cmd.ErrOrStderr())}
		job.meter.progress.Begin("verifying the backup")
		err = job.run(args[0], *verify, *replace)
		return sayFault(err)
	}
	return cmd
}

// restoreJob is one restore.
type restoreJob struct {
	cmd     *cobra.Command
	cfg     config.Config
	command string
	from    *archive.Reader
	meter   *meter
	notes   []string
}

func (j *restoreJob) run(path string, verify, replace bool) (err error) {
	defer func() {
		j.meter.stop()
		if err == nil {
			j.say(verify)
		}
	}()
	if j.from, err = archive.Open(j.cmd.Context(), path); err != nil {
		return err
	}
	switch {
	case verify:
		return j.verify()
	case replace:
		return j.replace()
	}
	unlock, err := lockDataDirs(j.cfg.Data.Dir)
	if err != nil {
		return err
	}
	return errors.Join(j.fill(j.cfg), unlock())
}

func (j *restoreJob) say(verify bool) {
	m := j.from.Manifest
	what := "restored into " + j.cfg.SQLStore()
	if verify {
		what = "the backup is whole and can be restored"
	}
	out := j.cmd.OutOrStdout()
	fmt.Fprintf(out, "%s: %s, made %s by release %s\n", what, j.meter.summary(m.Rows(), m.Objects), m.CreatedAt.Format(time.RFC3339), m.Version)
	for _, note := range j.notes {
		fmt.Fprintln(out, note)
	}
	if m.Missing.Count > 0 {
		fmt.Fprintf(out, "%d objects were missing or damaged when the backup was made; its manifest.json names them\n", m.Missing.Count)
	}
}

// fill restores into the engines of cfg, whose data directory is locked.
func (j *restoreJob) fill(cfg config.Config) error {
	ctx := j.cmd.Context()
	return withScratch(cfg.Data.Dir, func(scratch string) error {
		return closing(ctx, cfg, engineUse{create: true}, func(o *openedEngines) error {
			return transfer.Restore(ctx, transfer.RestoreParams{
				From: j.from, To: o.Engines, Schema: o.schema, Command: j.command, Scratch: scratch, Progress: &j.meter.progress,
				Key: func(name string, data []byte) error { return j.putKey(cfg.Data.Dir, name, data) },
			})
		})
	})
}

// putKey puts a secret of the backup into the data directory. Another one that
// is there is kept under another name.
func (j *restoreJob) putKey(dir, name string, data []byte) error {
	known := false
	for _, one := range backupKeys {
		known = known || one == name
	}
	if !known {
		return fmt.Errorf("the backup has a key %q that this release does not know", name)
	}
	target := filepath.Join(dir, name)
	switch there, err := os.ReadFile(target); {
	case err == nil && string(there) == string(data):
		return nil
	case err == nil:
		aside := target + time.Now().UTC().Format(".replaced-20060102T150405Z")
		if err := os.Rename(target, aside); err != nil {
			return err
		}
		j.notes = append(j.notes, "the "+name+" that was there is now "+aside)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return writeDurably(target, data)
}

func writeDurably(path string, data []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// verify restores into a temporary directory.
func (j *restoreJob) verify() (err error) {
	dir, err := os.MkdirTemp("", "llmhist-verify-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return j.fill(embeddedIn(j.cfg, dir))
}

// embeddedIn returns the configuration of embedded engines in dir.
func embeddedIn(cfg config.Config, dir string) config.Config {
	cfg.Data.Dir = dir
	cfg.Database, cfg.Mongo.URI, cfg.S3.Endpoint = config.Database{}, "", ""
	return cfg
}

// restoringFile marks a directory that a restore with --replace is making. A
// directory of that name without it was a data directory before.
const restoringFile = ".restoring"

// stagingOf returns where a restore with --replace makes the new data directory.
func stagingOf(dir string) string { return filepath.Clean(dir) + ".restoring" }

// replace makes a new data directory beside the old one and lets it take its
// place.
func (j *restoreJob) replace() error {
	if !embedded(j.cfg) {
		return errors.New("--replace is for the embedded engines alone: empty PostgreSQL, MongoDB or S3 yourself and restore without it")
	}
	dir, err := filepath.Abs(j.cfg.Data.Dir)
	if err != nil {
		return err
	}
	unlock, err := lockDataDirs(dir)
	if err != nil {
		return err
	}
	return errors.Join(j.replaceLocked(dir), unlock())
}

func (j *restoreJob) replaceLocked(dir string) error {
	if err := refuseMountPoint(dir); err != nil {
		return err
	}
	staging := stagingOf(dir)
	if err := j.prepareStaging(dir, staging); err != nil {
		return err
	}
	cfg := j.cfg
	cfg.Data.Dir = staging
	cfg.Database.Migrate = config.MigrateAuto // a new database has no operator who migrates it
	unlock, err := lockDataDirs(staging)
	if err != nil {
		return err
	}
	if err := errors.Join(j.fill(cfg), unlock()); err != nil {
		return err
	}
	if err := j.cmd.Context().Err(); err != nil {
		return err
	}
	aside := replacedName(dir)
	if err := swap(staging, dir, aside); err != nil {
		return fmt.Errorf("the restored data is whole in %s, but cannot take the place of %s: %w", staging, dir, err)
	}
	j.notes = append(j.notes, "what was there is now "+aside)
	return errors.Join(os.Remove(filepath.Join(dir, restoringFile)), syncDir(filepath.Dir(dir)))
}

// prepareStaging makes the directory, or keeps that of an interrupted restore of
// the same backup, in which the work goes on.
func (j *restoreJob) prepareStaging(dir, staging string) error {
	set := transfer.SetOf(j.from.Manifest)
	mark := filepath.Join(staging, restoringFile)
	_, err := os.Stat(staging)
	there, readErr := os.ReadFile(mark)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case errors.Is(readErr, fs.ErrNotExist): // it took the place of the new one, and then the process ended
		aside := replacedName(dir)
		if err := os.Rename(staging, aside); err != nil {
			return err
		}
		j.notes = append(j.notes, "what an interrupted restore had replaced is now "+aside)
	case string(there) == set && j.unfinishedIn(staging):
		return nil
	default:
		if err := os.RemoveAll(staging); err != nil {
			return err
		}
	}
	if err := makeMarked(staging, set); err != nil {
		return fmt.Errorf("%s cannot be made beside the data directory: %w", staging, err)
	}
	return nil
}

// makeMarked makes a directory that has its mark from its first moment.
func makeMarked(staging, set string) error {
	making := staging + ".new"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(making, restoringFile), []byte(set)); err != nil {
		return err
	}
	return os.Rename(making, staging)
}

// unfinishedIn reports whether the database in dir is one that a restore has not
// finished.
func (j *restoreJob) unfinishedIn(dir string) bool {
	unfinished := false
	err := closing(context.WithoutCancel(j.cmd.Context()), embeddedIn(j.cfg, dir), engineUse{create: true}, func(o *openedEngines) error {
		unfinished = errors.Is(transfer.Unfinished(j.cmd.Context(), o.DB), transfer.ErrUnfinished)
		return nil
	})
	return err == nil && unfinished
}

func replacedName(dir string) string {
	return filepath.Clean(dir) + time.Now().UTC().Format(".replaced-20060102T150405.000Z")
}

func refuseMountPoint(dir string) error {
	own, err := deviceOf(dir)
	parent, parentErr := deviceOf(filepath.Dir(dir))
	if err != nil || parentErr != nil || own == parent {
		return errors.Join(err, parentErr)
	}
	return fmt.Errorf("the data directory %s is a mount point, which cannot be replaced: move what is in it elsewhere and restore without --replace", dir)
}

// refuseHalfSwapped is an error when a restore with --replace ended between its
// two renames, on a system that cannot exchange directories in one.
func refuseHalfSwapped(dir string) error {
	_, err := os.Stat(dir)
	_, stagingErr := os.Stat(filepath.Join(stagingOf(dir), restoringFile))
	if errors.Is(err, fs.ErrNotExist) && stagingErr == nil {
		return fmt.Errorf("a restore into %s was interrupted: run llmhist restore --replace again", dir)
	}
	return nil
}
