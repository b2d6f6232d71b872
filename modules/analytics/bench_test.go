package analytics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/platform/testkit"
	"llmhist/platform/web"
)

// nullResponse is an answer that costs nothing, so that the difference between
// the two benchmarks below is Record alone.
type nullResponse struct{ header http.Header }

func (n nullResponse) Header() http.Header         { return n.header }
func (n nullResponse) Write(p []byte) (int, error) { return len(p), nil }
func (n nullResponse) WriteHeader(int)             {}

// nowhere is storage that takes everything and keeps nothing.
type nowhere struct{ Repository }

func (nowhere) Append(context.Context, []Event) error { return nil }

func BenchmarkRecord(b *testing.B) {
	for _, recorded := range []bool{false, true} {
		b.Run(fmt.Sprintf("recorded=%v", recorded), func(b *testing.B) {
			e := echo.New()
			router := web.NewRouter(e)
			m, err := New(DefaultConfig(), Deps{
				Repository: nowhere{}, OutboxDir: b.TempDir(), Logger: testkit.Logger(),
				CountUsers: func(context.Context) (int64, error) { return 0, nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = m.Close(context.Background()) }()
			if recorded {
				e.Use(m.Record())
			}
			router.Add(web.Route{Method: http.MethodPost, Path: "/image", Service: "image", Action: "generate",
				Handler: web.Raw(func(c echo.Context, _ struct{}) error { return c.NoContent(http.StatusCreated) })})
			request := httptest.NewRequest(http.MethodPost, "/image", nil)
			b.ReportAllocs()
			for b.Loop() {
				e.ServeHTTP(nullResponse{http.Header{}}, request)
			}
		})
	}
}

var engines = map[string]func(testing.TB) Repository{
	"sqlite":   func(t testing.TB) Repository { return NewRepository(testkit.SQLite(t)) },
	"postgres": func(t testing.TB) Repository { return NewRepository(testkit.Postgres(t)) },
	"mongo":    func(t testing.TB) Repository { return mongoStore(t).repository() },
}

func BenchmarkAppend1(b *testing.B)   { benchmarkAppend(b, 1) }
func BenchmarkAppend500(b *testing.B) { benchmarkAppend(b, maxBatch) }

func benchmarkAppend(b *testing.B, size int) {
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			r := open(b)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				events := make([]Event, size)
				for i := range events {
					events[i] = eventAt(day, by(int64(1+i%20)), func(e *Event) { e.LatencyMS = int64(i * i) })
				}
				b.StartTimer()
				if err := r.Append(context.Background(), events); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOverview reads 30 days of 200 accounts that use two models in every
// hour of a working day: 96,000 rows of sums.
func BenchmarkOverview(b *testing.B) {
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			if name == "mongo" && os.Getenv("TEST_MONGO_REAL") == "" {
				b.Skip("SKIPPED: the tests' own server reads every document for every question; set TEST_MONGO_REAL=1 for a MongoDB")
			}
			r := open(b)
			for d := range 30 {
				var events []Event
				for h := range 8 {
					for user := range int64(200) {
						at := day.Add(time.Duration(24*d+9+h) * time.Hour)
						events = append(events, eventAt(at, by(user+1)), eventAt(at, by(user+1), of("image", "local", "local/canvas")))
					}
				}
				mustAppend(b, r, events...)
			}
			s := &service{repository: r}
			scope := within(day, 30*24*time.Hour)
			for label, each := range map[string]Scope{"one account": ofUser(scope, 7), "everyone": scope} {
				b.Run(label, func(b *testing.B) {
					for b.Loop() {
						if o, err := s.overviewOf(context.Background(), each); err != nil || o.Total.Requests == 0 {
							b.Fatal(o.Total, err)
						}
					}
				})
			}
		})
	}
}
