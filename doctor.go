package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/logging"
)

// severity is how much a finding matters.
type severity string

const (
	good    severity = "ok"
	warning severity = "warning"
	broken  severity = "error"
)

// finding is one line of the doctor's report.
type finding struct {
	Check    string   `json:"check"`
	Severity severity `json:"severity"`
	Detail   string   `json:"detail"`
	Advice   string   `json:"advice,omitempty"`
}

func doctorCommand(load loader) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, stores, keys, port and providers, and say what to set",
		Long: `Check configuration, stores, keys, port and providers, and say what to set.
Nothing is sent to any provider. Exit code 0: all well, 2: warnings, 1: errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			findings := []finding{}
			if err != nil {
				findings = append(findings, finding{"configuration", broken, oneLine(err), "Correct the settings it names."})
			} else {
				findings = append(findings, finding{"configuration", good, "every setting is valid", ""})
				findings = append(findings, diagnose(cmd.Context(), cfg)...)
			}
			return report(cmd.OutOrStdout(), findings, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func report(out io.Writer, findings []finding, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(struct {
			Findings []finding `json:"findings"`
		}{findings}); err != nil {
			return err
		}
	}
	worst := 0
	for _, f := range findings {
		if !asJSON {
			fmt.Fprintf(out, "%-8s %-16s %s\n", f.Severity, f.Check, f.Detail)
			if f.Advice != "" {
				fmt.Fprintf(out, "%-8s %-16s → %s\n", "", "", f.Advice)
			}
		}
		switch {
		case f.Severity == broken:
			worst = 1
		case f.Severity == warning && worst == 0:
			worst = 2
		}
	}
	if worst != 0 {
		return exitCode(worst)
	}
	return nil
}

// diagnose looks at everything that serving needs, without changing any of it
// but for making the data directory and the buckets that are missing.
func diagnose(ctx context.Context, cfg config.Config) []finding {
	list := []finding{checkDataDirectory(cfg), checkDisk(cfg)}
	serving := heldByServer(cfg)
	if serving {
		list = append(list, finding{"server", good, "an llmhist is serving from this data directory", ""})
	} else {
		list = append(list, checkPort(ctx, cfg))
	}
	list = append(list, checkDatabase(ctx, cfg))
	list = append(list, checkEngines(ctx, cfg)...)
	list = append(list, checkClock(time.Now()))
	return append(list, checkProviders(ctx, cfg)...)
}

func checkDataDirectory(cfg config.Config) finding {
	if err := datadir.Create(cfg.Data.Dir); err != nil {
		return finding{"data directory", broken, oneLine(err), "Make it writable for this user, or set DATA_DIR."}
	}
	info, err := os.Stat(cfg.Data.Dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return finding{"data directory", warning, cfg.Data.Dir + " can be read by other users of this machine", "chmod 700 " + cfg.Data.Dir}
	}
	return finding{"data directory", good, cfg.Data.Dir + " is writable", ""}
}

// lowDisk is when the doctor warns.
const lowDisk = 1 << 30

func checkDisk(cfg config.Config) finding {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(cfg.Data.Dir, &stat); err != nil {
		return finding{"disk", warning, "free space is unknown", ""}
	}
	free := stat.Bavail * uint64(stat.Bsize)
	detail := fmt.Sprintf("%.1f GiB free", float64(free)/(1<<30))
	if free < lowDisk {
		return finding{"disk", warning, detail, "Free some space: when the disk is full, new requests are refused with 507."}
	}
	return finding{"disk", good, detail, ""}
}

func heldByServer(cfg config.Config) bool {
	lock, err := datadir.Acquire(cfg.Data.Dir)
	if err == nil {
		_ = lock.Release()
	}
	return errors.Is(err, datadir.ErrInUse)
}

func checkPort(ctx context.Context, cfg config.Config) finding {
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return finding{"port", broken, fmt.Sprintf("cannot listen on %s: %v", address, listenReason(err)), "Change HOST or PORT, or stop what uses it."}
	}
	_ = listener.Close()
	return finding{"port", good, address + " is free", ""}
}

func checkDatabase(ctx context.Context, cfg config.Config) finding {
	if _, err := os.Stat(cfg.SQLStore()); cfg.PostgresDSN() == "" && errors.Is(err, os.ErrNotExist) {
		return finding{"database", good, "SQLite, made at first start", ""}
	}
	logger, err := logging.New(io.Discard, "error", "json")
	if err != nil {
		return finding{"database", broken, oneLine(err), ""}
	}
	db, err := openDatabase(ctx, cfg, logger, false)
	if err != nil {
		return finding{"database", broken, oneLine(err), "Check that it runs and that DATABASE_URL is right."}
	}
	defer func() { _ = db.Close() }()
	return checkSchema(ctx, cfg, db)
}

func checkSchema(ctx context.Context, cfg config.Config, db *database.DB) finding {
	schema, err := db.CheckSchema(ctx, migrations.Files)
	if err != nil {
		return finding{"database", broken, oneLine(err), "llmhist migrate status shows what is recorded."}
	}
	if schema.Pending == 0 {
		return finding{"database", good, fmt.Sprintf("%s, schema %d", db.Dialect(), schema.Version), ""}
	}
	advice := "They are applied at the next start, or by llmhist migrate up."
	if cfg.Database.Migrate == config.MigrateManual {
		advice = "Run llmhist migrate up: DATABASE_MIGRATE is manual."
	}
	return finding{"database", warning, fmt.Sprintf("%s, %d migrations pending", db.Dialect(), schema.Pending), advice}
}

// builtAround is before any release of this program: a clock that says less is
// wrong, and tokens and links would end at wrong times.
var builtAround = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func checkClock(now time.Time) finding {
	if now.Before(builtAround) {
		return finding{"clock", broken, "the clock says " + now.UTC().Format(time.RFC3339), "Set the time of this machine, for example with NTP: tokens and links depend on it."}
	}
	return finding{"clock", good, now.UTC().Format(time.RFC3339), ""}
}

func checkProviders(ctx context.Context, cfg config.Config) []finding {
	lines, faults := plannedProviders(ctx, cfg)
	list := []finding{}
	for _, module := range []string{"chat", "image", "speech"} {
		if err := faults[module]; err != nil {
			list = append(list, finding{module, broken, oneLine(err), "Correct the setting it names."})
		}
		for _, line := range lines[module] {
			f := finding{module, good, line.text, ""}
			if line.problem != "" {
				f.Severity, f.Advice = warning, line.problem
			}
			list = append(list, f)
		}
	}
	return list
}
