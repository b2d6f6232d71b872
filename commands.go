package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/logging"
	"llmhist/platform/memory"
)

func serveCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and the web page (the default command)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			started := startLeanly()
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			logger, err := logging.New(os.Stderr, cfg.Log.Level, cfg.Log.Format)
			if err != nil {
				return err
			}
			log.SetOutput(io.Discard) // net/http prints bytes of servers there that are not for a log
			if limit := memory.FollowGroup(); limit > 0 {
				logger.Info("memory is limited by the control group: GOMEMLIMIT is nine tenths of that", "bytes", limit)
			}
			app, err := Open(cmd.Context(), cfg, logger)
			if err != nil {
				return err
			}
			err = app.Serve(cmd.Context(), func(ctx context.Context) {
				app.announce(ctx, cmd.OutOrStdout())
				started(ctx)
			})
			return errors.Join(err, app.Close(cmd.Context()))
		},
	}
}

// startLeanly lets the garbage collector wait while the server starts, which
// leaves a few megabytes, unless GOGC says otherwise. The returned func ends that
// when the jobs have begun too, and gives the system back what only the start
// needed.
func startLeanly() (started func(ctx context.Context)) {
	settle := memory.GiveBack
	if os.Getenv("GOGC") == "" {
		usual := debug.SetGCPercent(400) // of 4 MiB at least
		settle = func() { debug.SetGCPercent(usual); memory.GiveBack() }
	}
	return func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-time.After(2 * jobsAfter):
			settle()
		}
	}
}

// announce says where the server is, what it works with and what to do next.
func (a *App) announce(ctx context.Context, out io.Writer) {
	fmt.Fprintf(out, "\nllmhist %s is ready: %s\n\n", version, a.PublicURL())
	fmt.Fprintf(out, "  data directory  %s\n", a.config.Data.Dir)
	for _, line := range a.describeProviders(ctx) {
		fmt.Fprintf(out, "  %-15s %s\n", line.module, line.text)
	}
	fmt.Fprintf(out, "  API reference   %s/docs\n", a.PublicURL())
	if has, err := a.auth.HasAdmin(ctx); err == nil && !has {
		fmt.Fprintf(out, "\nThere is no admin yet. Make one, from another shell in this directory:\n  %s admin create --email you@example.com%s\n",
			os.Args[0], dataDirFlag(a.config.Data.Dir))
	}
	fmt.Fprintln(out)
}

func dataDirFlag(dir string) string {
	if dir == "./data" {
		return ""
	}
	return " --data-dir " + strconv.Quote(dir)
}

// parentCommand groups commands; without one of them it shows its help.
func parentCommand(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// databaseUse says what a command may do to the database it opens.
type databaseUse struct {
	create  bool // make it where there is none
	migrate bool // its schema must be up to date
	alone   bool // nothing but the database is needed
}

// withDatabase opens the configured database for one command. It works beside
// a serving process: SQLite and PostgreSQL both take several.
func withDatabase(cmd *cobra.Command, load loader, use databaseUse, work func(context.Context, config.Config, *database.DB) error) error {
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.SQLStore()); !use.create && cfg.PostgresDSN() == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no database at %s: is --data-dir (DATA_DIR) that of the server?", cfg.SQLStore())
	}
	if !use.alone || cfg.PostgresDSN() == "" {
		if err := datadir.Create(cfg.Data.Dir); err != nil {
			return err
		}
	}
	logger, err := logging.New(os.Stderr, "warn", cfg.Log.Format)
	if err != nil {
		return err
	}
	db, err := openDatabase(cmd.Context(), cfg, logger, use.migrate)
	if err != nil {
		return err
	}
	return errors.Join(work(cmd.Context(), cfg, db), db.Close())
}

func healthcheckCommand(load loader) *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running server whether it is ready; exit code 1 when it is not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				cfg, err := load(cmd)
				if err != nil {
					return err
				}
				url = localURL(cfg)
			}
			return healthcheck(cmd.Context(), strings.TrimSuffix(url, "/"), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "address of the server (default: the configured HOST and PORT)")
	return cmd
}

func localURL(cfg config.Config) string {
	host := cfg.Host
	if address := net.ParseIP(host); address != nil && address.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(cfg.Port))
}

func healthcheck(ctx context.Context, base string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("no answer from %s: is llmhist running there?", base)
	}
	defer func() { _ = response.Body.Close() }()
	var state struct {
		Status, Version string
		Checks          []struct{ Name, Status, Detail string }
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&state); err != nil {
		return fmt.Errorf("%s does not answer as llmhist does: is another program on that port?", base)
	}
	fmt.Fprintf(out, "%s (version %s)\n", state.Status, state.Version)
	for _, check := range state.Checks {
		fmt.Fprintf(out, "  %-10s %s %s\n", check.Name, check.Status, check.Detail)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready", base)
	}
	return nil
}

func configCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration as a config file, secrets redacted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			text, err := cfg.YAML()
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "llmhist %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
