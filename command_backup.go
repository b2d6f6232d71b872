package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"llmhist/config"
	"llmhist/platform/archive"
	"llmhist/platform/outbox"
	"llmhist/transfer"
)

// backupKeys are the secrets of an installation that a backup can include: the
// names in it are those in the data directory.
var backupKeys = []string{"jwt_private.pem", "links.key"}

func backupCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup DIR|FILE",
		Short: "Write everything the installation holds to a directory or a tar file; works while the server runs",
		Long: `Write everything the installation holds to a directory, or to one file when the
name ends in .tar, .tar.gz or .tgz; works while the server runs, on every engine.

The backup shows one moment: accounts, chats, figures, and every image and
speech of that moment with its files, with a manifest of counts and hashes. It
appears under its name when it is whole and on the disk. It is never written
over something that is there.

Hashes of passwords, refresh tokens and API keys are in it, and all prompts and
answers: encrypt it, for example with age or gpg. The keys that sign access
tokens and links are in it only with --include-keys; without them access tokens
and links end after a restore, and sessions go on. The configuration with the
keys of providers is never in it.

Exit code 1 with a name that ends in ".incomplete": files that should be there
were missing or damaged. They are listed; the rest is backed up.

Usage events that a server which was killed left in the data directory are not
in the backup: start the server once before. It says so when there are some.`,
		Args: cobra.ExactArgs(1),
	}
	keys := cmd.Flags().Bool("include-keys", false, "include the keys that sign access tokens and links, if they are in the data directory")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load(cmd)
		if err != nil {
			return err
		}
		return runBackup(cmd, cfg, args[0], *keys)
	}
	return cmd
}

func runBackup(cmd *cobra.Command, cfg config.Config, path string, includeKeys bool) (err error) {
	if inside(path, cfg.Data.Dir) {
		return fmt.Errorf("%s is in the data directory: a backup belongs somewhere else", path)
	}
	engines, err := openEngines(cmd.Context(), cfg, engineUse{beside: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engines.Close()) }()
	if err := transfer.Unfinished(cmd.Context(), engines.DB); err != nil {
		return err
	}
	meter := startMeter(cmd.ErrOrStderr())
	result, err := transfer.Backup(cmd.Context(), transfer.BackupParams{
		From: engines.Engines, Path: path, Version: version, Schema: engines.schema, Keys: keysIn(cfg, includeKeys), Progress: &meter.progress,
	})
	meter.stop()
	if err != nil {
		return sayFault(err)
	}
	m := result.Manifest
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", result.Path, meter.summary(m.Rows(), m.Objects))
	sayWaitingEvents(cmd.ErrOrStderr(), cfg)
	return sayMissing(cmd.ErrOrStderr(), m.Missing)
}

// sayWaitingEvents tells of events that wait for longer than a server that works
// lets them wait: they are not in a backup.
func sayWaitingEvents(out io.Writer, cfg config.Config) {
	events, since, err := outbox.Waiting(eventOutbox(cfg))
	switch {
	case err != nil:
		fmt.Fprintf(out, "llmhist: usage events may wait that are not in the backup: %v\n", err)
	case events > 0 && time.Since(since) > time.Minute:
		fmt.Fprintf(out, "llmhist: %d usage events wait in %s since %s and are not in the backup: a server that is started stores them\n",
			events, eventOutbox(cfg), since.UTC().Format(time.RFC3339))
	}
}

// keysIn returns the files of secrets that are in the data directory.
func keysIn(cfg config.Config, include bool) map[string]string {
	files := map[string]string{}
	for _, name := range backupKeys {
		file := filepath.Join(cfg.Data.Dir, name)
		if _, err := os.Stat(file); include && err == nil {
			files[name] = file
		}
	}
	return files
}

// inside reports whether path is in dir, or is it.
func inside(path, dir string) bool {
	full, err := filepath.Abs(path)
	root, rootErr := filepath.Abs(dir)
	if err != nil || rootErr != nil {
		return false
	}
	relative, err := filepath.Rel(root, full)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, "../")
}

// sayMissing lists what is not whole, and is an exit code when there is such.
func sayMissing(out io.Writer, missing archive.Missing) error {
	const named = 20
	for i, what := range missing.First {
		if i == named {
			break
		}
		fmt.Fprintln(out, "llmhist: "+what)
	}
	if missing.Count == 0 {
		return nil
	}
	fmt.Fprintf(out, "llmhist: %d objects are missing or damaged; everything else is there\n", missing.Count)
	return exitCode(1)
}

// meter shows how far a transfer has come while it runs, on a terminal.
type meter struct {
	progress transfer.Progress
	began    time.Time
	ended    chan struct{}
	shown    chan struct{}
}

func startMeter(out io.Writer) *meter {
	m := &meter{began: time.Now(), ended: make(chan struct{}), shown: make(chan struct{})}
	file, isFile := out.(*os.File)
	go func() {
		defer close(m.shown)
		if !isFile || !term.IsTerminal(int(file.Fd())) {
			return
		}
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-m.ended:
				fmt.Fprint(out, "\r\x1b[K")
				return
			case <-ticker.C:
				f := m.progress.Figures()
				fmt.Fprintf(out, "\r\x1b[K%s: %d rows, %d objects, %s", f.Phase, f.Rows, f.Objects, megabytes(f.Bytes))
			}
		}
	}()
	return m
}

// stop takes the line from the terminal.
func (m *meter) stop() {
	close(m.ended)
	<-m.shown
}

// summary says what was moved and how fast.
func (m *meter) summary(rows int64, objects archive.Objects) string {
	took := max(time.Since(m.began), time.Millisecond)
	return fmt.Sprintf("%d rows and %d objects of %s in %s (%.0f rows/s, %.1f MB/s)", rows, objects.Count, megabytes(objects.Bytes),
		took.Round(10*time.Millisecond), float64(rows)/took.Seconds(), float64(objects.Bytes)/1e6/took.Seconds())
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// withScratch gives work a directory for temporary files in a data directory.
func withScratch(dir string, work func(scratch string) error) error {
	scratch, remove, err := scratchIn(dir)
	if err != nil {
		return err
	}
	return errors.Join(work(scratch), remove())
}

// closing runs work on engines and closes them.
func closing(ctx context.Context, cfg config.Config, use engineUse, work func(o *openedEngines) error) error {
	engines, err := openEngines(ctx, cfg, use)
	if err != nil {
		return err
	}
	return errors.Join(work(engines), engines.Close())
}
