package operations

import (
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"llmhist/platform/web"
)

// Metrics holds what the process measures about itself. Labels are route
// patterns and statuses, never values a client chooses.
type Metrics struct {
	registry *prometheus.Registry
	took     *prometheus.HistogramVec
	open     prometheus.Gauge
}

// NewMetrics returns an empty registry with the runtime's own figures.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "llmhist_http_request_duration_seconds", Help: "Time from the request's headers to the end of the answer.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300},
		}, []string{"method", "route", "status"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "llmhist_http_requests_open", Help: "Requests being answered now."}),
	}
	m.registry.MustRegister(m.took, m.open, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Count adds a counter whose value is read when metrics are collected.
func (m *Metrics) Count(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Gauge adds a gauge whose value is read when metrics are collected.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Middleware measures every request.
func (m *Metrics) Middleware() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			m.open.Inc()
			defer m.open.Dec()
			err := next(c)
			method, route := c.Request().Method, c.Path()
			if web.RouteOf(c) == nil {
				method, route = "any", "unmatched"
			}
			m.took.WithLabelValues(method, route, strconv.Itoa(c.Response().Status)).Observe(time.Since(start).Seconds())
			return err
		}
	}
}
