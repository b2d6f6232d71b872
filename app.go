package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"llmhist/config"
	"llmhist/modules/analytics"
	"llmhist/modules/auth"
	"llmhist/modules/chat"
	"llmhist/modules/image"
	"llmhist/modules/speech"
	"llmhist/platform/blob"
	"llmhist/platform/database"
	"llmhist/platform/datadir"
	"llmhist/platform/idempotency"
	"llmhist/platform/identity"
	"llmhist/platform/instance"
	"llmhist/platform/jobs"
	"llmhist/platform/memory"
	"llmhist/platform/operations"
	"llmhist/platform/ratelimit"
	"llmhist/platform/uid"
	"llmhist/platform/web"
	front "llmhist/web"
)

// App is the whole machine: every store, every module, one router. Read Open
// and the three functions under it to see how it is put together.
type App struct {
	config config.Config
	logger *slog.Logger

	lock         *datadir.Lock
	listener     net.Listener
	db           *database.DB
	documents    *database.Mongo // nil = db keeps chats and events
	limiter      ratelimit.Limiter
	redis        *sharedRedis // nil = limits are counted in the process
	signer       *blob.Signer
	imageBucket  blob.Bucket
	speechBucket blob.Bucket

	auth      *auth.Module
	chat      *chat.Module
	image     *image.Module
	speech    *speech.Module
	analytics *analytics.Module
	instance  *instance.Instance
	jobs      *jobs.Runner

	idempotency *idempotency.Guard

	operations *operations.Module
	handler    http.Handler
	router     *web.Router
	closers    []func(ctx context.Context) error
}

// Open takes the data directory and the port, opens the stores, builds the
// modules and mounts them. Close the App, also after Serve.
func Open(ctx context.Context, cfg config.Config, logger *slog.Logger) (_ *App, err error) {
	a := &App{config: cfg, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close(ctx))
		}
	}()

	for _, step := range []func(context.Context) error{a.openStores, a.openModules, a.openFrontDoor} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *App) openStores(ctx context.Context) (err error) {
	if err := a.openDataDirectory(); err != nil {
		return err
	}
	if err := a.listen(ctx); err != nil {
		return err
	}
	if a.db, err = openDatabase(ctx, a.config, a.logger, true); err != nil {
		return err
	}
	a.onClose(func(context.Context) error { return a.db.Close() })
	if err := a.openDocuments(ctx); err != nil {
		return err
	}
	if err := a.openRedis(ctx); err != nil {
		return err
	}
	return a.openBuckets(ctx)
}

// openModules builds the modules. Each meets the others only through the
// functions given to it here.
func (a *App) openModules(ctx context.Context) (err error) {
	cfg := a.config
	if a.auth, err = openAuth(ctx, cfg, auth.Deps{DB: a.db, Logger: a.logger, OnUserDeleted: a.eraseUser, Announce: a.announceChange, Limiter: a.limiter}); err != nil {
		return err
	}
	if err := a.joinOthers(ctx); err != nil {
		return err
	}
	a.hearChanges()
	if a.analytics, err = analytics.New(cfg.Analytics, analytics.Deps{
		Repository: a.eventRepository(), OutboxDir: eventOutbox(cfg),
		Logger: a.logger, CountUsers: a.countUsers, KnownUsers: a.auth.ListKnownUsers,
	}); err != nil {
		return err
	}
	a.onClose(a.analytics.Close)
	if a.image, err = image.New(cfg.ImageConfig(), image.Deps{
		DB: a.db, Bucket: a.imageBucket, Logger: a.logger, Now: uid.Now, NewID: uid.New,
		Instance: a.instance.ID(), Living: a.instance.Living, ChargeMore: a.chargeImage,
	}); err != nil {
		return err
	}
	a.onClose(func(context.Context) error { a.image.Close(); return nil })
	if a.speech, err = speech.New(cfg.SpeechConfig(), speech.Deps{
		DB: a.db, Bucket: a.speechBucket, Logger: a.logger, Now: uid.Now, NewID: uid.New,
		Instance: a.instance.ID(), Living: a.instance.Living,
	}); err != nil {
		return err
	}
	a.onClose(a.speech.Close)
	if a.chat, err = chat.New(cfg.ChatConfig(), chat.Deps{
		DB: a.db, Documents: a.documents, Docs: documentation, Logger: a.logger, Now: uid.Now, NewID: uid.New,
		Memory: debug.SetMemoryLimit(-1), SpoolDir: cfg.Data.Dir,
		Instance: a.instance.ID(), Living: a.instance.Living,
	}); err != nil {
		return err
	}
	a.onClose(func(context.Context) error { a.chat.Close(); return nil })
	a.idempotency = &idempotency.Guard{
		Store: idempotency.NewStore(a.db), Logger: a.logger, Now: uid.Now, Instance: a.instance.ID(), Living: a.instance.Living,
	}
	a.jobs, err = jobs.New(a.db, a.logger, a.background())
	return err
}

// openFrontDoor makes one chain of middleware for every route, outermost first,
// and mounts the routes.
func (a *App) openFrontDoor(context.Context) error {
	metrics := a.newMetrics()
	e := web.NewEcho(a.logger, a.config.TrustedPrefixes())
	router := web.NewRouter(e)
	e.Use(
		web.RequestID(),
		metrics.Middleware(),
		web.AccessLog(a.logger),
		web.SecurityHeaders(strings.HasPrefix(a.config.Public.URL, "https://")),
		web.CORS(a.config.CORS.Origins),
		a.analytics.Record(),
		web.TellRetries(),
		web.Recover(),
		web.Timeout(),
		web.Identify(a.auth.Authenticate),
		web.BodyLimit(),
		web.RequireAccess(),
		ratelimit.Middleware(a.limiter, a.config.Rules(), a.logger),
		a.idempotency.Middleware(),
		web.Guard(a.chargeQuota),
	)
	a.auth.Mount(router)
	a.chat.Mount(router)
	a.image.Mount(router)
	a.speech.Mount(router)
	a.analytics.Mount(router)
	a.mountModels(router)
	a.mountDoctor(router)
	blob.Mount(router, a.signer, a.imageBucket, a.speechBucket)
	a.operations = operations.New(version, a.config.Metrics.Token, metrics, a.logCheck,
		a.checks()...,
	)
	a.operations.Inform(a.restingProviders)
	a.operations.Mount(router)
	mountPages(router)
	a.handler, a.router = e, router
	a.operations.Publish(router, about(a.PublicURL()))
	return nil
}

// Serve finishes what an earlier process left undone, answers requests until
// ctx ends, and drains. It calls ready beside the first requests.
func (a *App) Serve(ctx context.Context, ready func(ctx context.Context)) error {
	if err := a.reconcile(ctx); err != nil {
		return err
	}
	if err := a.firstAdmin(ctx); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer func() { end(); background.Wait() }() // also when serving ends by itself
	a.operations.SetReady()
	background.Go(func() { ready(ctx) }) // it may ask programs and stores what to tell
	background.Go(func() { a.doJobs(ctx) })
	background.Go(func() { memory.RestWhenIdle(ctx) })
	memory.CollectRarely(ctx)
	stop := context.AfterFunc(ctx, func() {
		a.operations.SetDraining()
		a.logger.Info("stopping: open requests may finish", "at_most", web.DrainTime.String())
	})
	defer stop()
	return web.Serve(ctx, a.listener, a.handler, a.logger)
}

// Close flushes what waits and closes the stores, in the opposite order of
// their opening.
func (a *App) Close(ctx context.Context) error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i](context.WithoutCancel(ctx)))
	}
	a.closers = nil
	return errors.Join(errs...)
}

func (a *App) onClose(closer func(ctx context.Context) error) { a.closers = append(a.closers, closer) }

// PublicURL returns the address users reach this server at, without a trailing
// slash: PUBLIC_URL, else the address it listens on.
func (a *App) PublicURL() string {
	if a.config.Public.URL != "" {
		return strings.TrimSuffix(a.config.Public.URL, "/")
	}
	host, port, _ := net.SplitHostPort(a.listener.Addr().String())
	if address := net.ParseIP(host); address != nil && address.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (a *App) openDataDirectory() (err error) {
	if err := refuseHalfSwapped(a.config.Data.Dir); err != nil {
		return err
	}
	if err := datadir.Create(a.config.Data.Dir); err != nil {
		return err
	}
	if a.lock, err = datadir.Acquire(a.config.Data.Dir); err != nil {
		return err
	}
	a.onClose(func(context.Context) error { return a.lock.Release() })
	return nil
}

func (a *App) listen(ctx context.Context) (err error) {
	address := net.JoinHostPort(a.config.Host, strconv.Itoa(a.config.Port))
	var config net.ListenConfig
	if a.listener, err = config.Listen(ctx, "tcp", address); err != nil {
		return fmt.Errorf("cannot listen on %s: %w (change HOST or PORT, or stop what uses it)", address, listenReason(err))
	}
	a.onClose(func(context.Context) error {
		if err := a.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

func listenReason(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err
	}
	return err
}

// openAuth completes what deps leaves out.
func openAuth(ctx context.Context, cfg config.Config, deps auth.Deps) (*auth.Module, error) {
	deps.DataDir, deps.Now, deps.NewID = cfg.Data.Dir, uid.Now, uid.New
	return auth.New(ctx, cfg.AuthConfig(), deps)
}

// eraseUser removes what a user owns in every module. It may be called again
// after it failed half-way.
func (a *App) eraseUser(ctx context.Context, userID int64) error {
	for _, erase := range []func(context.Context, int64) error{
		a.image.EraseUser, a.speech.EraseUser, a.chat.EraseUser, a.analytics.EraseUser, a.idempotency.Store.EraseUser,
	} {
		if err := erase(ctx, userID); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) countUsers(ctx context.Context) (int64, error) {
	counts, err := a.auth.CountUsers(ctx)
	return counts.Total, err
}

func (a *App) chargeQuota(ctx context.Context, route *web.Route) error {
	if route.Service == "" {
		return nil
	}
	return a.auth.ChargeQuota(ctx, identity.From(ctx), route.Service)
}

// chargeImage counts one more picture of a request that asked for several.
func (a *App) chargeImage(ctx context.Context) error {
	return a.auth.ChargeQuota(ctx, identity.From(ctx), "image")
}

func (a *App) newMetrics() *operations.Metrics {
	metrics := operations.NewMetrics()
	a.measureEvents(metrics)
	measureUpstreams(metrics, a.upstreams)
	if a.redis != nil {
		a.redis.measure(metrics)
	}
	return metrics
}

func (a *App) measureEvents(metrics *operations.Metrics) {
	metrics.Count("llmhist_analytics_events_dropped_total", "Usage events lost: the outbox was full or damaged, or the storage refused them.",
		func() float64 { return float64(a.analytics.Stats().Dropped) })
	metrics.Gauge("llmhist_analytics_events_queued", "Usage events waiting to be stored.",
		func() float64 { return float64(a.analytics.Stats().Queued) })
	metrics.Gauge("llmhist_analytics_outbox_bytes", "Size of the usage events waiting to be stored.",
		func() float64 { return float64(a.analytics.Stats().QueuedBytes) })
	metrics.Gauge("llmhist_analytics_outbox_oldest_seconds", "For how long the oldest usage event has waited to be stored.",
		func() float64 {
			oldest := a.analytics.Stats().Oldest
			if oldest.IsZero() {
				return 0
			}
			return time.Since(oldest).Seconds()
		})
}

func (a *App) logCheck(ctx context.Context, check string, err error) {
	a.logger.WarnContext(ctx, "a dependency does not answer", "check", check, "cause", err)
}

// checks are the dependencies that readiness asks, by name.
func (a *App) checks() []operations.Check {
	list := []operations.Check{
		{Name: "database", Ask: a.db.Ping},
		{Name: "images", Ask: bucketCheck(a.imageBucket)},
		{Name: "speech", Ask: bucketCheck(a.speechBucket)},
	}
	if a.documents != nil {
		list = append(list, operations.Check{Name: "documents", Ask: a.documents.Ping})
	}
	return list // without Redis limits are counted per process, so that it is no condition for serving
}

// bucketCheck asks a bucket for an object that need not exist.
func bucketCheck(bucket blob.Bucket) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		_, err := bucket.List(ctx, "users/0/", "", 1)
		return err
	}
}

func mountPages(router *web.Router) {
	pages := web.Pages(front.Handler())
	for _, path := range []string{"/", "/assets/*"} {
		router.Add(web.Route{Method: http.MethodGet, Path: path, Handler: pages, Hidden: true, Summary: "Front page"})
	}
}

func about(publicURL string) web.About {
	return web.About{
		Title: "llmhist", Version: version, ServerURL: publicURL,
		Description: "Chat, images and speech behind one port, with every request kept as history you own and usage you can account for.",
	}
}
