package operations

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"llmhist/platform/web"
)

// Mount adds the routes.
func (m *Module) Mount(router *web.Router) {
	const tag = "Operations"
	router.Add(
		web.Route{Method: http.MethodGet, Path: "/healthz", Handler: web.JSON(http.StatusOK, m.healthz), Tag: tag,
			Summary: "The process is alive", Description: "Asks no dependency."},
		web.Route{Method: http.MethodGet, Path: "/readyz", Handler: web.Raw(m.readyz,
			web.Returns[readyz](http.StatusOK, "", "Every dependency answers."),
			web.Returns[readyz](http.StatusServiceUnavailable, "", "Starting, draining, or a dependency does not answer.")), Tag: tag,
			Summary: "Requests can be served", Description: "Asks every dependency at once, by name, for at most 2 seconds."},
		web.Route{Method: http.MethodGet, Path: "/metrics", Handler: web.Raw(m.metricsRaw,
			web.Returns[[]byte](http.StatusOK, "text/plain", "Prometheus text format.")), Tag: tag, Errors: []int{401, 404},
			Summary: "Metrics", Description: "Off unless METRICS_TOKEN is set; send it as a bearer token."},
		web.Route{Method: http.MethodGet, Path: "/openapi.json", Handler: web.Raw(m.openapiRaw,
			web.Returns[map[string]any](http.StatusOK, "", "OpenAPI 3.1.")), Tag: tag,
			Summary: "This API as OpenAPI 3.1"},
		web.Route{Method: http.MethodGet, Path: "/docs", Handler: web.Raw(m.docsRaw), Hidden: true},
		web.Route{Method: http.MethodGet, Path: "/docs/style.css", Handler: web.Raw(docsStyle), Hidden: true},
	)
}

func (m *Module) readyz(c echo.Context, _ struct{}) error {
	answer := m.ready(c.Request().Context())
	status := http.StatusOK
	if answer.Status != serving {
		status = http.StatusServiceUnavailable
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return web.WriteJSON(c, status, answer)
}

func (m *Module) metricsRaw(c echo.Context, _ struct{}) error {
	if err := m.guardMetrics(c.Request()); err != nil {
		return err
	}
	m.metricsHandler().ServeHTTP(c.Response(), c.Request())
	return nil
}

func (m *Module) openapiRaw(c echo.Context, _ struct{}) error {
	document, err := m.openapi()
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "application/json", document)
}

func (m *Module) docsRaw(c echo.Context, _ struct{}) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.HTMLBlob(http.StatusOK, m.docs())
}

func docsStyle(c echo.Context, _ struct{}) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", docsCSS)
}
