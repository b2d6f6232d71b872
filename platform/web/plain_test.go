package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

func TestAPlainHandlersRefusalIsAProblem(t *testing.T) {
	server := testkit.Serve(t, func(router *web.Router) {
		router.Add(web.Route{Method: http.MethodGet, Path: "/absent", Handler: web.Pages(http.NotFoundHandler()), Hidden: true},
			web.Route{Method: http.MethodGet, Path: "/file", Hidden: true, Handler: web.Pages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Range", r.URL.Query().Get("range"))
				http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("content"))
			}))})
	})
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/absent":                  {404, `"code":"not_found"`},
		"/file":                    {200, "content"},
		"/file?range=bytes%3D0-2":  {206, "con"},
		"/file?range=bytes%3D99-":  {416, `"code":"range_not_satisfiable"`},
		"/file?range=bytes%3Djunk": {416, `"code":"range_not_satisfiable"`},
	} {
		answer := server.Do("GET", path, testkit.Nobody, nil)
		problem := strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json")
		if answer.Status != want.status || !strings.Contains(string(answer.Body), want.text) || problem != (want.status >= 400) {
			t.Errorf("%s: %d %s %s", path, answer.Status, answer.Header.Get("Content-Type"), answer.Body)
		}
	}
}
