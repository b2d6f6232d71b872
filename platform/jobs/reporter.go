package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// reporter writes one line for each run that failed.
type reporter struct{ logger *slog.Logger }

// HandleError logs the error of a run. One that a stop cut off is none.
func (r reporter) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	if !errors.Is(err, context.Canceled) {
		r.logger.WarnContext(ctx, "a background job failed; its next run tries again", "job", nameOf(job), "cause", err)
	}
	return nil
}

// HandlePanic logs a defect of ours.
func (r reporter) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	r.logger.ErrorContext(ctx, "a background job panicked; its next run tries again", "job", nameOf(job), "panic", value, "stack", trace)
	return nil
}

func nameOf(job *rivertype.JobRow) string {
	var args task
	_ = json.Unmarshal(job.EncodedArgs, &args)
	return args.Name
}
