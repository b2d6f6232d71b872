package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// alone is River's driver for a file that one process serves: it needs no lease
// to stay elected, and a server that does nothing leaves the disk in peace. Were
// there a second process after all, both would think themselves elected, and
// every run would still be unique.
type alone struct{ *riversqlite.Driver }

// GetExecutor returns what runs statements outside of transactions.
func (d alone) GetExecutor() riverdriver.Executor { return aloneExecutor{d.Driver.GetExecutor()} }

type aloneExecutor struct{ riverdriver.Executor }

// LeaderAttemptReelect lets the elected process stay so. River would sync it to
// the disk every five seconds.
func (aloneExecutor) LeaderAttemptReelect(_ context.Context, term *riverdriver.LeaderReelectParams) (*riverdriver.Leader, error) {
	return &riverdriver.Leader{ElectedAt: term.ElectedAt, ExpiresAt: time.Now().Add(term.TTL), LeaderID: term.LeaderID}, nil
}
