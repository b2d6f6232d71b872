package analytics

import (
	"context"
	"time"
)

// sumsBehind is what the log says when hours are not in the longer sums. Other
// servers may serve: the sums are made again by a check that nobody works beside.
const sumsBehind = "sums of usage lack hours that an older release stored: stop all servers and run llmhist check --repair"

const (
	// atStart bounds the comparison after a start.
	atStart = 5 * time.Second
	// comparedAtStart is how much of the newest hours it compares: few enough to be
	// read in a moment, and those in which a release that was here last stored
	// something.
	comparedAtStart = 3 * 24 * time.Hour
)

// comparedServing is an engine that can tell of one moment which hours its sums
// lack, whatever is added meanwhile. MongoDB cannot: there the start looks, before
// anything is served.
type comparedServing interface {
	// CountLackingHours returns in how many of the newest hours, counted back from the
	// last one up to now, the sums of everyone have fewer requests than the hours.
	CountLackingHours(ctx context.Context, now time.Time) (int64, error)
}

// WarnIfBehind says in the log when a release without longer sums was here since
// they were made, as far as the newest hours tell: it may have served beside the
// first servers of this one. Call it once when requests are served: it is a look
// at three days of hours, which takes at most seconds.
func (m *Module) WarnIfBehind(ctx context.Context) {
	sums, ok := m.deps.Repository.(comparedServing)
	if !ok {
		return
	}
	lacking, err := sums.CountLackingHours(ctx, m.deps.Now())
	switch {
	case ctx.Err() != nil: // the server ends
	case err != nil:
		m.deps.Logger.WarnContext(ctx, "sums of usage were not compared with the newest hours", "cause", err)
	case lacking > 0:
		m.deps.Logger.ErrorContext(ctx, sumsBehind, "hours", lacking)
	}
}
