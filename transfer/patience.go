package transfer

import (
	"context"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// operationTime bounds one operation on a document database. Nobody waits for it
// at the other end of a request, and servers may be busy beside it.
const operationTime = time.Minute

// unhurried returns the context of a transfer.
func unhurried(ctx context.Context) context.Context {
	return database.AllowDocuments(ctx, operationTime)
}

// pauses are the times between attempts at one object while its store does not
// answer.
var pauses = []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// again does what can be repeated until its store answers, or for the last time
// after the last pause.
func again(ctx context.Context, attempt func() error) error {
	for _, pause := range pauses {
		err := attempt()
		if !fault.Is(err, fault.Unavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return attempt()
}
