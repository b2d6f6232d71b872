package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"llmhist/config"
)

// doctorTime bounds one run of the doctor. Nothing it waits for may take
// longer, so that a report comes in any case.
const doctorTime = 50 * time.Second

func doctorCommand(load loader) *cobra.Command {
	var asJSON, online bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check settings, stores, keys, clock, disk, port and providers, and say what to set",
		Long: `Check settings, stores, keys, clock, disk, port and providers, and say what to set.
It makes the data directory and buckets that are missing, as serving does, and
changes nothing else. Without --online nothing is sent to any provider; with it
each is asked for its list of models, which generates nothing and costs nothing.
GET /admin/doctor gives the same report of a running server.
Exit code 0: all well, 2: warnings, 1: errors.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			d := refusedSettings(err)
			if err == nil {
				d = (&examination{cfg: cfg, now: time.Now(), online: online}).run(cmd.Context())
			}
			if err := d.write(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			return d.exit()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&online, "online", false, "ask the providers too: is the key accepted, is the model listed")
	return cmd
}

// refusedSettings is the report on a configuration that cannot be loaded.
func refusedSettings(err error) diagnosis {
	if err == nil {
		return diagnosis{}
	}
	return newDiagnosis([]finding{failed(areaConfig, "settings", oneLine(err), "Correct the settings it names.")})
}

// examination is one run of the doctor.
type examination struct {
	cfg    config.Config
	now    time.Time
	online bool // providers are asked
	server *App // that runs the doctor itself; nil = it is a command
}

// run looks at everything that serving needs, at all of it at once, without
// changing any but for making the data directory and the buckets that are
// missing.
func (e *examination) run(ctx context.Context) diagnosis {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	list := []finding{fine(areaConfig, "settings", "every setting is valid"), e.checkDataDirectory()} // the others look into the directory
	return newDiagnosis(append(list, together(ctx,
		e.checkDisk, e.checkPort, e.checkKey, e.checkDatabase, e.checkDocuments, e.checkObjects, e.checkLimits, e.checkClock, e.checkProviders,
	)...))
}

// together makes checks at once and returns what they found in their order.
func together(ctx context.Context, checks ...func(context.Context) []finding) []finding {
	found := make([][]finding, len(checks))
	var group sync.WaitGroup
	for i, check := range checks {
		group.Go(func() { found[i] = check(ctx) })
	}
	group.Wait()
	return slices.Concat(found...)
}
