package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/bench/rig"
	"llmhist/modules/analytics"
	"llmhist/platform/database"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

// measured is what was measured on one engine.
type measured struct {
	name, version string
	filled        filled
	answers       []answered
	appends       []answered
	recording     recording
	noise         rig.Noise // what others used of the CPU time; of PostgreSQL, the server is one of them
}

// answered is a question with the times its answers took.
type answered struct {
	name, window, of string
	times            []time.Duration // sorted
}

// question is one that a dashboard asks.
type question struct {
	name string
	path string
	// byHour keeps a series by the hour to what may be asked at once.
	byHour    bool
	adminOnly bool
}

var questions = []question{
	{name: "overview of everything, with active and top users", path: "/analytics/system", adminOnly: true},
	{name: "overview", path: "/analytics/service/chat"},
	{name: "series by day", path: "/analytics/usage?bucket=day"},
	{name: "series by hour", path: "/analytics/usage?bucket=hour", byHour: true},
	{name: "latency percentiles by model", path: "/analytics/performance"},
	{name: "costs by model and day", path: "/analytics/costs"},
	{name: "report with the period before", path: "/analytics/reports"},
	{name: "report as CSV", path: "/analytics/reports?format=csv"},
}

// windows end now, in the middle of an hour, as those of a dashboard do.
var windows = []struct {
	name string
	days int
}{{"24 h", 1}, {"7 d", 7}, {"30 d", 30}, {"90 d", 90}, {"400 d", 400}}

func measureEngine(ctx context.Context, o options, part string) (m measured, err error) {
	e, err := o.open(ctx, part)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, e.close(context.WithoutCancel(ctx))) }()
	m.name = e.name
	if m.version, err = e.version(ctx); err != nil {
		return m, err
	}
	now := time.Now().UTC()
	if m.filled, err = e.fill(ctx, o, now); err != nil {
		return m, err
	}
	begin, err := rig.ReadClock(os.Getpid())
	if err != nil {
		return m, err
	}
	if m.answers, err = ask(ctx, e, o, now); err != nil {
		return m, err
	}
	if err := m.measureUsers(ctx, e.repository(), o, now); err != nil {
		return m, err
	}
	if m.recording, err = measureRecording(ctx, e, o); err != nil {
		return m, err
	}
	end, err := rig.ReadClock(os.Getpid())
	m.noise = end.Since(begin)
	return m, err
}

func versionOf(ctx context.Context, db *database.DB) (string, error) {
	query := "SELECT sqlite_version()"
	if db.Dialect() == database.Postgres {
		query = "SELECT current_setting('server_version')"
	}
	var version string
	err := db.Handle().QueryRowContext(ctx, query).Scan(&version)
	return version, err
}

// ask puts every question about every window, for everyone and for one account.
func ask(ctx context.Context, e engine, o options, now time.Time) (list []answered, err error) {
	module, leave, err := openModule(e, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	handler, routes := router(identity.RoleAdmin) // the module is mounted as the product does
	module.Mount(routes)
	for _, q := range questions {
		for _, w := range windows {
			if w.days > o.days || q.byHour && w.days > 80 {
				continue
			}
			for _, who := range []struct {
				name string
				id   string
			}{{"everyone", ""}, {"the busiest account", "1"}} {
				if q.adminOnly && who.id != "" {
					continue
				}
				a := answered{name: q.name, window: w.name, of: who.name}
				a.times, err = repeat(o.runs, func() error { return get(ctx, handler, q.path, who.id, now.AddDate(0, 0, -w.days), now) })
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %s: %w", q.name, w.name, who.name, err)
				}
				say("%s: %s, %s, %s: p50 %s, p95 %s", e.name, a.name, a.window, a.of, percentile(a.times, 0.5), percentile(a.times, 0.95))
				list = append(list, a)
			}
		}
	}
	return list, nil
}

// openModule opens the module over the engine. leave closes it, with what waits
// stored.
func openModule(e engine, o options) (module *analytics.Module, leave func() error, err error) {
	outbox, err := os.MkdirTemp("", "llmhist-outbox-")
	if err != nil {
		return nil, nil, err
	}
	module, err = analytics.New(analytics.DefaultConfig(), analytics.Deps{
		Repository: e.repository(), OutboxDir: filepath.Join(outbox, "analytics"), Logger: quiet(),
		CountUsers: func(context.Context) (int64, error) { return int64(o.accounts), nil },
	})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(outbox))
	}
	return module, func() error { return errors.Join(module.Close(context.Background()), os.RemoveAll(outbox)) }, nil
}

// router returns Echo with a router on which everyone is account 1 in that role.
func router(role identity.Role) (*echo.Echo, *web.Router) {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			c.SetRequest(r.WithContext(identity.With(r.Context(), identity.Identity{UserID: 1, Role: role})))
			return next(c)
		}
	})
	return e, web.NewRouter(e)
}

func get(ctx context.Context, handler http.Handler, path, user string, from, to time.Time) error {
	address, err := url.Parse(path)
	if err != nil {
		return err
	}
	query := address.Query()
	query.Set("from", from.Format(time.RFC3339))
	query.Set("to", to.Format(time.RFC3339))
	if user != "" {
		query.Set("user_id", user)
	}
	address.RawQuery = query.Encode()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, address.String(), nil).WithContext(ctx))
	if answer.Code != http.StatusOK {
		return fmt.Errorf("status %d: %.300s", answer.Code, answer.Body)
	}
	return nil
}

// repeat does something often and returns how long it took, sorted. The first
// time is not counted.
func repeat(runs int, do func() error) ([]time.Duration, error) {
	if err := do(); err != nil {
		return nil, err
	}
	var times []time.Duration
	for range runs {
		began := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return sortedCopy(times), nil
}

// measureUsers measures the two questions by themselves that are about all
// accounts, and the storing of one event and of many.
func (m *measured) measureUsers(ctx context.Context, r analytics.Repository, o options, now time.Time) error {
	for _, w := range windows {
		if w.days > o.days {
			continue
		}
		to := now.Truncate(time.Hour).Add(time.Hour)
		ended := analytics.Scope{Period: analytics.Period{From: to.AddDate(0, 0, -w.days), To: to}}
		past := ended
		past.From, past.To = past.From.AddDate(0, 0, -20), past.To.AddDate(0, 0, -20)
		for _, c := range []struct {
			name  string
			scope analytics.Scope
		}{{w.name, ended}, {w.name + ", ended 20 days ago", past}} {
			top := answered{name: "top users alone", window: c.name, of: "everyone"}
			count := answered{name: "count of active users alone", window: c.name, of: "everyone"}
			var err error
			top.times, err = repeat(o.runs, func() error { _, err := r.ListTopUsers(ctx, c.scope, 10); return err })
			if err != nil {
				return err
			}
			count.times, err = repeat(o.runs, func() error { _, err := r.CountUsers(ctx, c.scope); return err })
			if err != nil {
				return err
			}
			m.answers = append(m.answers, top, count)
		}
	}
	return m.measureAppends(ctx, r, o)
}
