package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"llmhist/config"
	"llmhist/modules/auth"
	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/logging"
)

func adminCommand(load loader) *cobra.Command {
	parent := parentCommand("admin", "Manage accounts on this machine")
	parent.AddCommand(createAdminCommand(load), promoteCommand(load), passwordCommand(load))
	return parent
}

func createAdminCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an administrator; works while the server runs",
		Long: `Make an administrator; works while the server runs.

The password is asked for on a terminal, or read from the first line of the
standard input or of --password-file. It is never taken from an argument, which
other users of the machine could see.`,
		Args: cobra.NoArgs,
	}
	email, file := emailFlag(cmd), passwordFlag(cmd)
	name := cmd.Flags().String("name", "", "display name")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		password, err := readPassword(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), *file)
		if err != nil {
			return err
		}
		return withAccounts(cmd, load, true, func(ctx context.Context, accounts *auth.Module, where string) error {
			user, err := accounts.CreateAdmin(ctx, *email, password, *name)
			if fault.Is(err, fault.Conflict) {
				return fmt.Errorf("%s has an account already: give it the role with llmhist admin promote --email %s", *email, *email)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "administrator %s was made with user id %d in %s\n", user.Email, user.ID, where)
			return nil
		})
	}
	return cmd
}

func promoteCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "promote",
		Short: "Give an existing account the admin role; works while the server runs",
		Args:  cobra.NoArgs,
	}
	email := emailFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withAccounts(cmd, load, false, func(ctx context.Context, accounts *auth.Module, _ string) error {
			user, err := accounts.PromoteUser(ctx, *email)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, user id %d, is an administrator now\n", user.Email, user.ID)
			return nil
		})
	}
	return cmd
}

func passwordCommand(load loader) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Give any account a new password and end its sessions; works while the server runs",
		Args:  cobra.NoArgs,
	}
	email, file := emailFlag(cmd), passwordFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		password, err := readPassword(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), *file)
		if err != nil {
			return err
		}
		return withAccounts(cmd, load, false, func(ctx context.Context, accounts *auth.Module, _ string) error {
			user, err := accounts.ResetPassword(ctx, *email, password)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a new password; its sessions have ended\n", user.Email)
			return nil
		})
	}
	return cmd
}

func emailFlag(cmd *cobra.Command) *string {
	email := cmd.Flags().String("email", "", "e-mail address of the account (required)")
	if err := cmd.MarkFlagRequired("email"); err != nil {
		panic(err) // the flag is defined above
	}
	return email
}

func passwordFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("password-file", "", "file whose first line is the password")
}

// withAccounts opens the accounts for one command and tells it which store they
// are in. Where there is none yet it makes one if it may.
func withAccounts(cmd *cobra.Command, load loader, create bool, work func(ctx context.Context, accounts *auth.Module, where string) error) error {
	return withDatabase(cmd, load, databaseUse{create: create, migrate: true}, func(ctx context.Context, cfg config.Config, db *database.DB) error {
		logger, err := logging.New(os.Stderr, "warn", cfg.Log.Format)
		if err != nil {
			return err
		}
		announce, done := announcer(ctx, cfg)
		defer done()
		accounts, err := openAuth(ctx, cfg, auth.Deps{DB: db, Logger: logger, Announce: announce})
		if err != nil {
			return err
		}
		return sayFault(work(ctx, accounts, cfg.SQLStore()))
	})
}

func readPassword(ctx context.Context, in io.Reader, prompts io.Writer, file string) (string, error) {
	if file != "" {
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("cannot read the password file %s", file)
		}
		defer func() { _ = opened.Close() }()
		return firstLine(opened)
	}
	terminal, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return firstLine(in)
	}
	first, err := askHidden(ctx, terminal, prompts, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := askHidden(ctx, terminal, prompts, "Repeat it: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ: nothing was changed")
	}
	return first, nil
}

// askHidden reads a line that is not shown. An interrupt gives the terminal its
// echo back and ends the process, as reading cannot be given up otherwise.
func askHidden(ctx context.Context, terminal *os.File, prompts io.Writer, question string) (string, error) {
	state, err := term.GetState(int(terminal.Fd()))
	if err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() {
		_ = term.Restore(int(terminal.Fd()), state)
		fmt.Fprintln(prompts)
		os.Exit(interrupted)
	})()
	fmt.Fprint(prompts, question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(prompts)
	return string(answer), err
}

// interrupted is the exit code of a command that SIGINT ended.
const interrupted = 130

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("no password was given: type it on a terminal, or put it on the first line of the standard input")
	}
	return line, nil
}

// sayFault returns what a fault tells people, without its code and cause.
func sayFault(err error) error {
	var known *fault.Error
	if !errors.As(err, &known) || known.Kind == fault.Internal {
		return err
	}
	return errors.New(known.Detail)
}
