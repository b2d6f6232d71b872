package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"llmhist/config"
	"llmhist/platform/outbox"
	"llmhist/transfer"
)

func copyCommand(load loader) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "copy --to FILE",
		Short: "Copy everything to the engines of another config file, for example from the embedded ones to PostgreSQL, MongoDB and S3",
		Long: `Copy everything to the engines that another config file names, for example from
the embedded ones to PostgreSQL, MongoDB and S3, or back.

Stop every server of both sides first. The target must be empty. Nothing is
served from it until all of it is there, both sides were read again, and they
are the same. A copy that was interrupted is completed by running it again: what
is there already is not sent twice. The source is not changed. A copy is refused
while usage events that no server has stored yet wait in its data directory.

The source is the configuration as always. The target is the file alone: none of
the environment applies to it but variables that begin with TO_, such as
TO_DATABASE_URL, TO_S3_SECRET_KEY or TO_MONGO_URI_FILE, so that no secret has to
be in the file.

Exit code 1 with a list: the source itself misses those files; everything else
was copied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := load(cmd)
			if err != nil {
				return err
			}
			to, err := config.LoadTarget(file)
			if err != nil {
				return err
			}
			return sayFault(runCopy(cmd, from, to, "llmhist copy --to "+file))
		},
	}
	cmd.Flags().StringVar(&file, "to", "", "config file of the target (required)")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func runCopy(cmd *cobra.Command, from, to config.Config, command string) error {
	unlock, err := lockDataDirs(from.Data.Dir, to.Data.Dir)
	if err != nil {
		return err
	}
	if err := refuseWaitingEvents(from); err != nil {
		return errors.Join(err, unlock())
	}
	ctx, meter := cmd.Context(), startMeter(cmd.ErrOrStderr())
	var result transfer.Result
	err = withScratch(from.Data.Dir, func(scratch string) error {
		return closing(ctx, from, engineUse{}, func(source *openedEngines) error {
			return closing(ctx, to, engineUse{create: true}, func(target *openedEngines) error {
				result, err = transfer.Copy(ctx, transfer.CopyParams{
					From: source.Engines, To: target.Engines, Command: command, Scratch: scratch, Progress: &meter.progress,
				})
				return err
			})
		})
	})
	meter.stop()
	if err = errors.Join(err, unlock()); err != nil {
		return err
	}
	m := result.Manifest
	fmt.Fprintf(cmd.OutOrStdout(), "copied to %s: %s; %d objects were there already\n",
		to.SQLStore(), meter.summary(m.Rows(), m.Objects), meter.progress.Figures().NotMoved)
	return sayMissing(cmd.ErrOrStderr(), m.Missing)
}

// refuseWaitingEvents is an error when events wait for a server of cfg, none of
// which runs: they are in no engine that is copied.
func refuseWaitingEvents(cfg config.Config) error {
	events, _, err := outbox.Waiting(eventOutbox(cfg))
	if err == nil && events > 0 {
		err = fmt.Errorf("%d usage events of the source wait in %s and are not in its database yet: start its server once, stop it, and run the copy again",
			events, eventOutbox(cfg))
	}
	return err
}
