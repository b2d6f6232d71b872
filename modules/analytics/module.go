// Package analytics accounts for what the generating requests of the other
// modules consumed and answers questions about it. It owns the routes under
// /analytics and the tables analytics_events (one row per request),
// analytics_hours (sums per UTC hour, user, service, provider and model) and
// analytics_latencies (histograms of the same hours), or the document collections
// that mongoRepository lists. Questions are answered from sums, so figures are by
// whole UTC hours.
//
// Everything else is derived from the hours by what changes them, in SQL in the
// same transactions: analytics_sums (by day and month of each user, and by hour, day and
// month of everyone), analytics_ranks (requests of accounts by day and month) and
// analytics_accounts (when an account came first and last). A question cuts its
// period into whole months, whole days beside them and hours at its ends, so that
// it reads at most about a hundred of them for each model, however many events
// there were.
//
// The other modules do not know it: Record, a middleware, sees the route, the
// caller, the answer's status and what the service reported through
// platform/usage.
//
// Events wait in a bounded outbox of files and are stored in batches, the oldest
// after at most 200 ms. An event is in its file before the last byte of its
// answer is sent, so that a process that is killed loses none; a power cut can
// lose those of the last 200 ms. What the storage does not take waits, also over
// restarts, and counts once; when its account is gone by then, it counts as
// nobody's.
package analytics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"llmhist/platform/outbox"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// Config is what an operator can set.
type Config struct {
	// OutboxBytes bounds the files in which events wait while the storage does not
	// answer. An event takes about 400 bytes.
	OutboxBytes int64 `mapstructure:"outbox_bytes"`
	// KeepEvents is how long single events are kept. Hourly sums stay for good.
	KeepEvents time.Duration `mapstructure:"keep_events"`
}

// DefaultConfig returns 64 MiB, which is about 160,000 events, and 400 days.
func DefaultConfig() Config { return Config{OutboxBytes: 64 << 20, KeepEvents: 400 * 24 * time.Hour} }

// Validate reports every setting that cannot work.
func (c Config) Validate() error {
	var faults []error
	if c.OutboxBytes < 1<<20 || c.OutboxBytes > 16<<30 {
		faults = append(faults, errors.New("analytics.outbox_bytes must be 1048576 (1 MiB) to 17179869184 (16 GiB)"))
	}
	if c.KeepEvents < 24*time.Hour {
		faults = append(faults, errors.New("analytics.keep_events must be at least 24h"))
	}
	return errors.Join(faults...)
}

// Deps is what the module needs from outside.
type Deps struct {
	Repository Repository
	// OutboxDir is where events wait; it is this module's and this process's alone.
	OutboxDir string
	Logger    *slog.Logger
	// CountUsers returns how many accounts there are.
	CountUsers func(ctx context.Context) (int64, error)
	// KnownUsers returns those of the ids that accounts have. Events that come late
	// and whose account is gone are stored as those of ErasedUser. nil = all are
	// there.
	KnownUsers func(ctx context.Context, ids []int64) ([]int64, error)
	Now        func() time.Time       // nil = time.Now, which also measures latencies best
	NewID      func(time.Time) string // nil = uid.New
}

// Module records usage and serves the questions about it.
type Module struct {
	config   Config
	deps     Deps
	recorder *recorder
	service  *service
}

// New returns the module with the goroutines of its outbox, which store events
// until Close, those that an earlier process left included.
func New(config Config, deps Deps) (*Module, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if deps.Repository == nil || deps.OutboxDir == "" || deps.Logger == nil || deps.CountUsers == nil {
		return nil, errors.New("analytics: Repository, OutboxDir, Logger and CountUsers are required")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.NewID == nil {
		deps.NewID = uid.New
	}
	recorder, err := openRecorder(outbox.Config{Dir: deps.OutboxDir, MaxBytes: config.OutboxBytes},
		&recorder{append: deps.Repository.Append, known: deps.KnownUsers, keep: config.KeepEvents, now: deps.Now, logger: deps.Logger})
	if err != nil {
		return nil, err
	}
	m := &Module{config: config, deps: deps, recorder: recorder}
	m.service = &service{repository: deps.Repository, settle: m.Flush, countUsers: deps.CountUsers, now: deps.Now}
	return m, nil
}

// Mount adds the routes.
func (m *Module) Mount(router *web.Router) {
	h := &handlers{m.service}
	router.Add(
		web.Route{Method: http.MethodGet, Path: "/analytics/user/me", Handler: web.JSON(http.StatusOK, h.ownOverview),
			Access: web.SignedIn, Tag: "Analytics", Summary: "Your own usage", Description: overviewText, Errors: []int{http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/users/:id", Handler: web.JSON(http.StatusOK, h.userOverview),
			Access: web.SignedIn, Tag: "Analytics", Summary: "The usage of one account",
			Description: "For the account itself and for administrators; for everyone else the account does not exist. " + overviewText,
			Errors:      []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/service/:service", Handler: web.JSON(http.StatusOK, h.serviceOverview),
			Access: web.SignedIn, Tag: "Analytics", Summary: "The usage of one service", Description: scopeText + overviewText,
			Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/system", Handler: web.JSON(http.StatusOK, h.systemOverview),
			Access: web.AdminOnly, Tag: "Analytics", Summary: "The usage of the whole installation",
			Description: "For administrators. " + overviewText, Errors: []int{http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/usage", Handler: web.JSON(http.StatusOK, h.series),
			Access: web.SignedIn, Tag: "Analytics", Summary: "Usage over time", Description: scopeText + seriesText,
			Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/performance", Handler: web.JSON(http.StatusOK, h.performance),
			Access: web.SignedIn, Tag: "Analytics", Summary: "Latency and success by service and model", Description: scopeText + performanceText,
			Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/costs", Handler: web.JSON(http.StatusOK, h.costs),
			Access: web.SignedIn, Tag: "Analytics", Summary: "Costs by service, provider, model and day", Description: scopeText + costsText,
			Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
		web.Route{Method: http.MethodGet, Path: "/analytics/reports", Handler: web.Raw(h.report,
			web.Returns[ReportAnswer](http.StatusOK, "application/json", "The summary, with format=json."),
			web.Returns[string](http.StatusOK, "text/csv", "One line per day, service, provider and model, with format=csv.")),
			Access: web.SignedIn, Tag: "Analytics", Summary: "A report for a period, also as CSV", Description: scopeText + reportText,
			Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}},
	)
}

// Stats says how the recording of events goes.
func (m *Module) Stats() Stats { return m.recorder.stats() }

// Flush returns when every event recorded before it is stored, or ctx ends.
func (m *Module) Flush(ctx context.Context) error { return m.recorder.outbox.Flush(ctx) }

// Close stores what waits, or leaves it to the next process when the storage
// fails or takes longer than seconds. Call it when no request is served any
// more. The error says how many events neither could take. It may be called more
// than once.
func (m *Module) Close(ctx context.Context) error { return m.recorder.outbox.Close(ctx) }

// EraseUser takes the person out of all usage that is stored about an account:
// the figures stay for accounting, under the id -1, without request and object
// ids. A call that failed can be repeated, and a repeated one does no harm.
// Call it once the account's credentials have stopped working.
func (m *Module) EraseUser(ctx context.Context, userID int64) error {
	if err := m.Flush(ctx); err != nil {
		return err
	}
	return m.deps.Repository.DetachUser(ctx, userID)
}

// pruneStep bounds one transaction of Prune.
const pruneStep = 1000

// Prune deletes the events that are older than Config.KeepEvents, in steps that
// let other writers in between, and returns how many. Sums stay. An event that
// may have to be stored again is never deleted: what waits is stored first.
func (m *Module) Prune(ctx context.Context) (int64, error) {
	if err := m.Flush(ctx); err != nil {
		return 0, err
	}
	before := m.deps.Now().Add(-m.config.KeepEvents)
	var total int64
	for {
		deleted, err := m.deps.Repository.DeleteEvents(ctx, before, pruneStep)
		total += deleted
		if err != nil || deleted < pruneStep {
			return total, err
		}
	}
}
