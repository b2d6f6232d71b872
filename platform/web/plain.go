package web

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Pages makes a handler from a plain one that serves files.
func Pages(pages http.Handler) Handler {
	return Raw(func(c echo.Context, _ struct{}) error { return ServePlain(c, pages) })
}

// ServePlain answers with a plain handler, such as http.ServeContent, but for
// its refusals: they become problem documents as everywhere.
func ServePlain(c echo.Context, handler http.Handler) error {
	w := &refusals{ResponseWriter: c.Response()}
	handler.ServeHTTP(w, c.Request())
	if w.status != 0 {
		return echo.NewHTTPError(w.status)
	}
	return nil
}

// refusals holds back the answers that echoFault has words for.
type refusals struct {
	http.ResponseWriter
	status int
}

func (w *refusals) WriteHeader(status int) {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable:
		w.status = status
	default:
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *refusals) Write(p []byte) (int, error) {
	if w.status != 0 {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *refusals) Unwrap() http.ResponseWriter { return w.ResponseWriter }
