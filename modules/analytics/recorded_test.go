package analytics_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"llmhist/modules/analytics"
	"llmhist/platform/database"
	"llmhist/platform/identity"
	"llmhist/platform/testkit"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// serveRecorded serves the module together with routes that it accounts for.
func serveRecorded(t *testing.T, db *database.DB) *httptest.Server {
	t.Helper()
	module, err := analytics.New(analytics.DefaultConfig(), analytics.Deps{
		Repository: analytics.NewRepository(db), OutboxDir: t.TempDir(), Logger: testkit.Logger(),
		CountUsers: func(context.Context) (int64, error) { return 1, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.HTTPErrorHandler = web.ErrorHandler(testkit.Logger())
	router := web.NewRouter(e)
	authenticate := func(*http.Request, string) (identity.Identity, error) {
		return identity.Identity{UserID: 1, Role: identity.RoleUser}, nil
	}
	e.Use(web.RequestID(), web.Recover(), module.Record(), web.BodyLimit(), web.Timeout(), web.Identify(authenticate), web.RequireAccess())
	module.Mount(router)
	router.Add(
		web.Route{Method: http.MethodPost, Path: "/image", Access: web.Optional, Service: "image", Action: "generate", Handler: web.JSON(http.StatusCreated,
			func(ctx context.Context, _ struct{}) (map[string]string, error) {
				usage.Update(ctx, func(f *usage.Figures) { f.Provider, f.Model, f.CostUSD = "local", "local/canvas", 0.01 })
				return map[string]string{"padding": strings.Repeat("x", 10_000)}, nil
			})},
		web.Route{Method: http.MethodPost, Path: "/chat", Access: web.Optional, Service: "chat", Action: "message",
			Handler: web.Raw(func(c echo.Context, _ struct{}) error {
				stream := web.OpenEventStream(c)
				defer stream.Close()
				return stream.Send("done", "x")
			})})
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.Close()
		if err := module.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

func call(t *testing.T, server *httptest.Server, method, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer x")
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s %s: %d %s, %v", method, path, answer.StatusCode, body, err)
	}
	return body
}

func TestCallersSeeWhatTheyHaveJustDone(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		server := serveRecorded(t, db)
		overview := func() (o struct {
			TotalRequests int64   `json:"total_requests"`
			CostUSD       float64 `json:"cost_usd"`
			FirstRequest  *string `json:"first_request"`
		}) {
			if err := json.Unmarshal(call(t, server, http.MethodGet, "/analytics/user/me"), &o); err != nil {
				t.Error(err)
			}
			return o
		}
		for i := range int64(5) {
			call(t, server, http.MethodPost, []string{"/image", "/chat"}[i%2])
			if got := overview().TotalRequests; got != i+1 {
				t.Fatalf("after %d requests: %d", i+1, got)
			}
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { call(t, server, http.MethodPost, "/image") })
		}
		wg.Wait()
		if got := overview(); got.TotalRequests != 55 || got.CostUSD != 0.53 || got.FirstRequest == nil {
			t.Errorf("after 50 parallel ones: %+v", got)
		}
	})
}
