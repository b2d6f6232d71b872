// Package operations serves what operators and their tools ask of the process
// itself: is it alive, is it ready, what does it measure, what can it do.
package operations

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"llmhist/platform/fault"
	"llmhist/platform/logging"
	"llmhist/platform/web"
)

// Check asks one dependency whether it works.
type Check struct {
	Name string
	Ask  func(ctx context.Context) error
}

// Notice is something an operator should know that keeps no request of this
// process from being served.
type Notice struct {
	Name   string `json:"name" doc:"What it is about, such as chat/openai."`
	Detail string `json:"detail"`
}

// Module answers the operations routes.
type Module struct {
	version  string
	checks   []Check
	notices  func() []Notice
	state    atomic.Value // string
	token    logging.Secret
	metrics  *Metrics
	openapi  func() ([]byte, error)
	docs     func() []byte
	logError func(ctx context.Context, check string, err error)
}

// The states of the process.
const (
	starting = "starting"
	serving  = "ready"
	draining = "draining"
)

// New returns the module. Metrics are served only to whoever knows the token;
// an empty one switches them off. logError hears why a check failed: the answer
// names the dependency but not the cause. It may be called concurrently.
func New(version string, token logging.Secret, metrics *Metrics, logError func(context.Context, string, error), checks ...Check) *Module {
	m := &Module{version: version, token: token, metrics: metrics, checks: checks, logError: logError, notices: func() []Notice { return nil }}
	m.state.Store(starting)
	return m
}

// Inform sets what readiness tells beside the checks. Call it before the first
// request is served; read must not wait for anything.
func (m *Module) Inform(read func() []Notice) { m.notices = read }

// SetReady says that the process serves.
func (m *Module) SetReady() { m.state.Store(serving) }

// SetDraining says that the process is about to end.
func (m *Module) SetDraining() { m.state.Store(draining) }

// Ready reports whether the process calls itself ready, whatever its
// dependencies say.
func (m *Module) Ready() bool { return m.state.Load() == serving }

// checkDeadline bounds one readiness check.
const checkDeadline = 2 * time.Second

type healthz struct {
	Status  string `json:"status" example:"ok"`
	Version string `json:"version"`
}

type readyz struct {
	Status  string        `json:"status" enum:"ready,degraded,starting,draining"`
	Version string        `json:"version"`
	Checks  []checkResult `json:"checks"`
	Notices []Notice      `json:"notices" doc:"Providers that are left alone for a while because they failed repeatedly. The server is ready all the same."`
}

type checkResult struct {
	Name   string `json:"name"`
	Status string `json:"status" enum:"ok,failed"`
	Detail string `json:"detail" doc:"Empty when ok. The cause is in the log."`
}

func (m *Module) healthz(context.Context, struct{}) (healthz, error) {
	return healthz{Status: "ok", Version: m.version}, nil
}

// ready asks all dependencies at once, so that several that hang take no longer
// than one.
func (m *Module) ready(ctx context.Context) readyz {
	answer := readyz{Version: m.version, Checks: make([]checkResult, len(m.checks))}
	answer.Status, _ = m.state.Load().(string)
	var group sync.WaitGroup
	for i, check := range m.checks {
		group.Go(func() { answer.Checks[i] = m.ask(ctx, check) })
	}
	group.Wait()
	answer.Notices = append([]Notice{}, m.notices()...)
	for _, result := range answer.Checks {
		if result.Status != checkOK && answer.Status == serving {
			answer.Status = "degraded"
		}
	}
	return answer
}

const checkOK = "ok"

func (m *Module) ask(ctx context.Context, check Check) checkResult {
	bounded, cancel := context.WithTimeout(ctx, checkDeadline)
	defer cancel()
	if err := check.Ask(bounded); err != nil {
		m.logError(ctx, check.Name, err)
		return checkResult{Name: check.Name, Status: "failed", Detail: "does not answer"}
	}
	return checkResult{Name: check.Name, Status: checkOK}
}

func (m *Module) guardMetrics(r *http.Request) error {
	if m.token == "" {
		return fault.NotFoundf("Metrics are off. Set METRICS_TOKEN and send it as a bearer token.")
	}
	given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || subtle.ConstantTimeCompare([]byte(given), []byte(m.token.Reveal())) != 1 {
		return fault.New(fault.Unauthenticated, "metrics_token_required", "Send METRICS_TOKEN as 'Authorization: Bearer …'.")
	}
	return nil
}

func (m *Module) metricsHandler() http.Handler {
	return promhttp.HandlerFor(m.metrics.registry, promhttp.HandlerOpts{})
}

// Publish makes the API's description available; call it after every other
// route was added. It is written when somebody first asks for it: that takes as
// long as the rest of a start, and half a megabyte.
func (m *Module) Publish(router *web.Router, about web.About) {
	m.openapi = sync.OnceValues(func() ([]byte, error) { return router.OpenAPI(about).MarshalJSON() })
	m.docs = sync.OnceValue(func() []byte { return docsPage(describeAPI(router.OpenAPI(about))) })
}
