package operations_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"llmhist/platform/logging"
	"llmhist/platform/operations"
	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// rig serves the operations routes with one dependency whose state is broken.
type rig struct {
	module  *operations.Module
	metrics *operations.Metrics
	handler http.Handler
	broken  error
	logged  []string
}

func newRig(t *testing.T, token logging.Secret) *rig {
	t.Helper()
	r := &rig{}
	metrics := operations.NewMetrics()
	r.metrics = metrics
	r.module = operations.New("v1", token, metrics,
		func(_ context.Context, check string, err error) { r.logged = append(r.logged, check+": "+err.Error()) },
		operations.Check{Name: "store", Ask: func(context.Context) error { return r.broken }})
	e := web.NewEcho(testkit.Logger(), nil)
	router := web.NewRouter(e)
	e.Use(metrics.Middleware(), web.AccessLog(testkit.Logger()))
	r.module.Mount(router)
	r.module.Publish(router, web.About{Title: "Test", ServerURL: "http://test.invalid"})
	r.handler = e
	return r
}

func (r *rig) get(method, path, authorization string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, nil)
	request.Header.Set("Authorization", authorization)
	recorder := httptest.NewRecorder()
	r.handler.ServeHTTP(recorder, request)
	return recorder
}

func TestReadinessFollowsTheProcessAndItsDependencies(t *testing.T) {
	r := newRig(t, "")
	expect := func(status int, state string) {
		t.Helper()
		got := r.get("GET", "/readyz", "")
		if got.Code != status || !strings.Contains(got.Body.String(), `"status":"`+state+`"`) {
			t.Errorf("%d %s, want %d %s", got.Code, got.Body, status, state)
		}
		if strings.Contains(got.Body.String(), "10.0.0.7") {
			t.Errorf("the answer tells the cause: %s", got.Body)
		}
	}
	expect(503, "starting")
	r.module.SetReady()
	expect(200, "ready")
	r.broken = errors.New("dial 10.0.0.7: refused")
	expect(503, "degraded")
	if len(r.logged) != 1 || r.logged[0] != "store: dial 10.0.0.7: refused" {
		t.Errorf("logged %q", r.logged)
	}
	if got := r.get("GET", "/healthz", ""); got.Code != 200 {
		t.Errorf("the process is alive, but /healthz says %d", got.Code)
	}
	r.broken = nil
	expect(200, "ready")
	r.module.SetDraining()
	expect(503, "draining")
}

func TestDependenciesThatHangAreAskedAtOnce(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	var checks []operations.Check
	for _, name := range []string{"one", "two", "three", "four"} {
		checks = append(checks, operations.Check{Name: name, Ask: hang})
	}
	module := operations.New("v1", "", operations.NewMetrics(), func(context.Context, string, error) {}, checks...)
	e := web.NewEcho(testkit.Logger(), nil)
	module.Mount(web.NewRouter(e))
	module.SetReady()
	recorder, start := httptest.NewRecorder(), time.Now()
	e.ServeHTTP(recorder, httptest.NewRequest("GET", "/readyz", nil))
	if took := time.Since(start); took > 3*time.Second || recorder.Code != 503 || strings.Count(recorder.Body.String(), "does not answer") != 4 {
		t.Errorf("after %s: %d %s", took, recorder.Code, recorder.Body)
	}
}

func TestMetricsHaveNoLabelThatAClientChooses(t *testing.T) {
	r := newRig(t, "token")
	r.get("GET", "/chosen-by-a-client", "")
	r.get("BREW", "/healthz", "")
	r.get("GET", "/healthz?also=chosen", "")
	page := r.get("GET", "/metrics", "Bearer token").Body.String()
	for _, chosen := range []string{"chosen", "BREW"} {
		if strings.Contains(page, chosen) {
			t.Errorf("the metrics hold %q", chosen)
		}
	}
	for _, want := range []string{`method="any",route="unmatched",status="404"`, `method="any",route="unmatched",status="405"`, `method="GET",route="/healthz",status="200"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics miss %s", want)
		}
	}
}

func TestMetricsNeedTheWholeToken(t *testing.T) {
	for authorization, want := range map[string]int{"Bearer token": 200, "": 401, "Bearer toke": 401, "Bearer token2": 401, "Basic token": 401, "token": 401} {
		if got := newRig(t, "token").get("GET", "/metrics", authorization); got.Code != want {
			t.Errorf("%q: %d, want %d", authorization, got.Code, want)
		}
	}
	if got := newRig(t, "").get("GET", "/metrics", "Bearer "); got.Code != 404 {
		t.Errorf("without a token there are no metrics, but %d", got.Code)
	}
}

func TestNoticesAreToldAndKeepTheServerReady(t *testing.T) {
	r := newRig(t, "")
	r.module.SetReady()
	if got := r.get("GET", "/readyz", ""); !strings.Contains(got.Body.String(), `"notices":[]`) {
		t.Errorf("without any: %s", got.Body)
	}
	r.module.Inform(func() []operations.Notice { return []operations.Notice{{Name: "chat/acme", Detail: "rests"}} })
	got := r.get("GET", "/readyz", "")
	if got.Code != 200 || !strings.Contains(got.Body.String(), `"status":"ready"`) || !strings.Contains(got.Body.String(), `"notices":[{"name":"chat/acme","detail":"rests"}]`) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestMetricsWithLabelsAreReadWhenCollected(t *testing.T) {
	r := newRig(t, "token")
	value := 1.0
	read := func() []operations.Sample {
		return []operations.Sample{{Value: value, Labels: []string{"chat", "a"}}, {Value: 7, Labels: []string{"chat", "b"}}}
	}
	r.metrics.CountEach("asked_total", "Asked.", []string{"service", "provider"}, read)
	r.metrics.GaugeEach("asking", "Asking.", []string{"service", "provider"}, read)
	value = 3
	page := r.get("GET", "/metrics", "Bearer token").Body.String()
	for _, want := range []string{
		"# TYPE asked_total counter", `asked_total{provider="a",service="chat"} 3`, `asked_total{provider="b",service="chat"} 7`,
		"# TYPE asking gauge", `asking{provider="a",service="chat"} 3`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics miss %s", want)
		}
	}
}
