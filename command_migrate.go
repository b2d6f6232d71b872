package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/migrations"
	"llmhist/platform/database"
)

// migrateCommand needs nothing but the database: it can run as a step of its
// own before the servers start.
func migrateCommand(load loader) *cobra.Command {
	parent := parentCommand("migrate", "Bring the database schema up to date, or show its state")
	parent.AddCommand(migrateUpCommand(load), migrateStatusCommand(load))
	return parent
}

func migrateUpCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", Short: "Apply every pending migration, after a copy of the SQLite file", Args: cobra.NoArgs,
	}
	bare := cmd.Flags().Bool("no-backup", false, "make no copy of the SQLite file first")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withDatabase(cmd, load, databaseUse{create: true, alone: true}, func(ctx context.Context, _ config.Config, db *database.DB) error {
			out := cmd.OutOrStdout()
			before := []database.BeforeMigration{}
			if !*bare {
				before = append(before, backUpFirst(db, func(file string) { fmt.Fprintf(out, "the database was copied to %s\n", file) }))
			}
			count, err := db.Migrate(ctx, migrations.Files, before...)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%d migrations applied; the schema is up to date\n", count)
			return nil
		})
	}
	return cmd
}

func migrateStatusCommand(load loader) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "List every migration and when it was applied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, load, databaseUse{alone: true}, func(ctx context.Context, _ config.Config, db *database.DB) error {
				list, err := db.Migrations(ctx, migrations.Files)
				for _, one := range list {
					printMigration(cmd.OutOrStdout(), one)
				}
				return err
			})
		},
	}
}

// printMigration writes one line: applied with its time, pending, or in capitals
// what keeps the server from starting.
func printMigration(out io.Writer, m database.Migration) {
	state := map[database.MigrationState]string{
		database.Applied: "applied", database.Pending: "pending", database.Missing: "MISSING: a later one is applied",
		database.Unknown: "UNKNOWN to this release, applied", database.Damaged: "DAMAGED: its tables are not there, applied",
	}[m.State]
	if !m.AppliedAt.IsZero() {
		state += " " + m.AppliedAt.UTC().Format(time.RFC3339)
	}
	name := m.Name
	if name == "" {
		name = "-"
	}
	fmt.Fprintf(out, "%5d  %-30s  %s\n", m.Version, name, state)
}
