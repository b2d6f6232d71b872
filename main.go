// Command llmhist is a self-hosted AI platform in one process: accounts, chat,
// images and speech behind one port, with every request kept as history.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"llmhist/config"
)

// version is set when the binary is built.
var version = "dev"

func main() {
	syscall.Umask(0o077) // what is kept here is nobody else's
	os.Exit(run(os.Args[1:]))
}

// run executes one command and returns the exit code: 0 when it did what was
// asked, 1 when it failed, 2 for a doctor's warning and for a check that could
// not be made.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := commands()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var coded exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return int(coded)
	default:
		fmt.Fprintln(os.Stderr, "llmhist: "+oneLine(err))
		return 1
	}
}

// exitCode ends the process with a code and without another message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// oneLine puts joined errors on one line.
func oneLine(err error) string {
	parts := []string{}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

func commands() *cobra.Command {
	var file string
	root := &cobra.Command{
		Use:           "llmhist",
		Short:         "Chat, images and speech behind one port, with every request kept as history you own",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&file, "config", os.Getenv("LLMHIST_CONFIG"), "config file (LLMHIST_CONFIG; "+config.DefaultFile+" when it exists)")
	config.Flags(root.PersistentFlags())
	load := func(cmd *cobra.Command) (config.Config, error) { return config.Load(file, cmd.Flags()) }
	serve := serveCommand(load)
	root.RunE, root.Version = serve.RunE, version
	root.AddCommand(serve, migrateCommand(load), adminCommand(load), doctorCommand(load), checkCommand(load), healthcheckCommand(load), configCommand(load), versionCommand(),
		backupCommand(load), restoreCommand(load), copyCommand(load))
	return root
}

// loader reads the configuration for a command.
type loader func(cmd *cobra.Command) (config.Config, error)
