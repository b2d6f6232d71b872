package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/modules/analytics"
	"llmhist/modules/auth"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/blob"
	"llmhist/platform/check"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

// checkFlags are what the command line says of a check.
type checkFlags struct {
	check.Options
	asJSON bool
}

// uncheckable is the exit code of a check that could not be made.
const uncheckable exitCode = 2

func checkCommand(load loader) *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare rows, objects, index lines and hashes, and report every difference",
		Long: `Compare rows, objects, index lines and hashes, and report every difference.

It works while the server runs and changes nothing. With --repair it makes rows
and daily indexes again from the records, which are the durable history, and
removes what belongs to nothing and is older than --grace. For that the server
must be stopped, on every machine that shares the stores: beside one it refuses.
What was lost for good is reported and left alone.

Exit code 0: no difference, or all of them repaired. 1: there are differences.
2: it could not check; one line says which setting to look at.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runCheck(cmd, load, flags)
			var coded exitCode
			if err != nil && !errors.As(err, &coded) {
				fmt.Fprintln(cmd.ErrOrStderr(), "llmhist: cannot check: "+oneLine(err))
				return uncheckable
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&flags.asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&flags.Repair, "repair", false, "mend what can be mended; the server must be stopped")
	cmd.Flags().BoolVar(&flags.Fast, "fast", false, "compare sizes and stored hashes instead of reading every image and sound")
	cmd.Flags().DurationVar(&flags.Grace, "grace", time.Hour, "how old something unfinished or orphaned must be to count")
	return cmd
}

func runCheck(cmd *cobra.Command, load loader, flags checkFlags) (err error) {
	if flags.Grace < 0 {
		return errors.New("--grace must not be negative")
	}
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	began := time.Now()
	report := check.NewReport(flags.Options)
	stores, err := openCheckedStores(cmd.Context(), cfg, flags.Repair)
	if err != nil {
		return err
	}
	defer stores.close(cmd.Context())
	stop := showProgress(cmd.ErrOrStderr(), report)
	err = stores.compare(cmd.Context(), report)
	stop()
	if err != nil {
		return sayStore(err)
	}
	result := resultOf(report, time.Since(began))
	if flags.asJSON {
		err = result.writeJSON(cmd.OutOrStdout())
	} else {
		err = result.writeText(cmd.OutOrStdout())
	}
	if err == nil && !result.Clean {
		return exitCode(1)
	}
	return err
}

// sayStore names the setting of the store that an error came from.
func sayStore(err error) error {
	setting := map[string]string{
		"database_unavailable":  "DATABASE_URL, or the file in DATA_DIR",
		"documents_unavailable": "MONGO_URI",
		"storage_unavailable":   "S3_ENDPOINT, or the objects in DATA_DIR",
	}[fault.CodeOf(err)]
	if setting == "" {
		return err
	}
	return fmt.Errorf("%w (look at %s)", sayFault(err), setting)
}

// checkedStores are the stores of an installation, opened to be compared.
type checkedStores struct {
	config    config.Config
	db        *database.DB
	documents *database.Mongo // nil = db keeps chats and events
	images    blob.Bucket
	speech    blob.Bucket
	closers   []func(ctx context.Context)
}

func (s *checkedStores) close(ctx context.Context) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i](context.WithoutCancel(ctx))
	}
}

// openCheckedStores opens what is configured and creates nothing. Without
// repair it needs no lock, and no object can be changed through it.
func openCheckedStores(ctx context.Context, cfg config.Config, repair bool) (_ *checkedStores, err error) {
	s := &checkedStores{config: cfg}
	defer func() {
		if err != nil {
			s.close(ctx)
		}
	}()
	if _, err := os.Stat(cfg.Data.Dir); err != nil {
		return nil, fmt.Errorf("there is no data directory at %s: is DATA_DIR that of the server?", cfg.Data.Dir)
	}
	if repair {
		if err := s.lock(); err != nil {
			return nil, err
		}
	}
	if err := s.openDatabases(ctx); err != nil {
		return nil, err
	}
	if repair {
		if err := requireNoServer(ctx, s.db, cfg.Data.Dir); err != nil {
			return nil, fmt.Errorf("--repair changes what servers work with: %w", err)
		}
	}
	if s.images, err = s.openBucket(ctx, cfg.S3.Bucket, repair); err != nil {
		return nil, err
	}
	s.speech, err = s.openBucket(ctx, cfg.S3.SpeechBucket, repair)
	return s, err
}

func (s *checkedStores) lock() error {
	lock, err := datadir.Acquire(s.config.Data.Dir)
	if errors.Is(err, datadir.ErrInUse) {
		return fmt.Errorf("--repair changes what a running server works with: %w", err)
	}
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) { _ = lock.Release() })
	return nil
}

func (s *checkedStores) openDatabases(ctx context.Context) (err error) {
	cfg, quiet := s.config, slog.New(slog.DiscardHandler)
	if _, err := os.Stat(cfg.SQLStore()); cfg.PostgresDSN() == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no database at %s: is DATA_DIR that of the server? If it was lost, restore it from a backup", cfg.SQLStore())
	}
	if s.db, err = openDatabase(ctx, cfg, quiet, false); err != nil {
		return err
	}
	s.closers = append(s.closers, func(context.Context) { _ = s.db.Close() })
	if err := s.db.RequireSchema(ctx, migrations.Files); err != nil || cfg.Mongo.URI == "" {
		return err
	}
	if s.documents, err = database.OpenMongo(ctx, cfg.Mongo.URI, cfg.Mongo.DBName, quiet); err != nil {
		return err
	}
	s.closers = append(s.closers, func(ctx context.Context) { _ = s.documents.Close(ctx) })
	return nil
}

func (s *checkedStores) openBucket(ctx context.Context, name string, repair bool) (blob.Bucket, error) {
	var bucket blob.Bucket = blob.AttachDirectory(filepath.Join(s.config.Data.Dir, "objects"), name)
	if s.config.S3.Endpoint != "" {
		store, err := openS3(ctx, s.config, name, true)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, func(context.Context) { store.Close() })
		bucket = store
	}
	if !repair {
		bucket = blob.ReadOnly(bucket)
	}
	return bucket, nil
}

// compare lets each module compare what it owns, the database itself first.
func (s *checkedStores) compare(ctx context.Context, report *check.Report) error {
	accounts, quiet := auth.Accounts(s.db), slog.New(slog.DiscardHandler)
	for _, step := range []func() error{
		func() error { return s.compareDatabase(ctx, report) },
		func() error { return auth.Check(ctx, s.db, report) },
		func() error {
			return image.Check(ctx, image.Deps{DB: s.db, Bucket: s.images, Logger: quiet}, report, accounts)
		},
		func() error {
			return speech.Check(ctx, speech.Deps{DB: s.db, Bucket: s.speech, Logger: quiet, Now: uid.Now}, report, accounts)
		},
		func() error { return chat.Check(ctx, chat.Deps{DB: s.db, Documents: s.documents}, report, accounts) },
		func() error {
			sums := analytics.CheckedSums{Repository: eventRepository(s.db, s.documents), KeepEvents: s.config.Analytics.KeepEvents}
			return analytics.Check(ctx, sums, report, accounts)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// compareDatabase asks the SQLite file about its own structure.
func (s *checkedStores) compareDatabase(ctx context.Context, report *check.Report) error {
	area, began := report.Area("database"), time.Now()
	faults, err := s.db.CheckIntegrity(ctx)
	area.Took = time.Since(began)
	if err != nil {
		return err
	}
	for _, line := range faults {
		err := report.Add(ctx, check.Finding{Code: "database_damaged", Service: "database", Detail: line + ": restore the database from a backup, then check again"}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// showProgress says on a terminal how far the check has come, until stop.
func showProgress(out io.Writer, report *check.Report) (stop func()) {
	terminal, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return func() {}
	}
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				fmt.Fprint(out, "\r\x1b[K")
				return
			case <-ticker.C:
			}
			if areas := report.Areas(); len(areas) > 0 {
				now := areas[len(areas)-1]
				fmt.Fprintf(out, "\r\x1b[Kchecking %s: %d rows, %d records, %d media", now.Service, now.Rows.Load(), now.Records.Load(), now.Media.Load())
			}
		}
	}()
	return func() { close(ended); <-gone }
}
