package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"llmhist/bench/load"
	"llmhist/bench/rig"
	"llmhist/modules/analytics"
	"llmhist/platform/identity"
	"llmhist/platform/web"
)

// recordingRounds is how often the two servers take turns.
const recordingRounds = 4

// recording is a request over HTTP without and with the middleware that records
// an event of it. The servers and the driver are in this process, so that its CPU
// time per request differs by what recording costs, up to the stored sums.
type recording struct {
	without, with []turn
}

// turn is one server's load until all its events are stored.
type turn struct {
	cpu    time.Duration // of this process for one request
	result load.Result
}

// measureRecording puts load on an answer of 1 KB that costs nothing else.
func measureRecording(ctx context.Context, e engine, o options) (found recording, err error) {
	module, leave, err := openModule(e, o)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	bare, recorded := answering(), answering(module.Record())
	defer bare.Close()
	defer recorded.Close()
	for range recordingRounds {
		without, err := takeTurn(ctx, bare, module, o.requests)
		if err != nil {
			return found, err
		}
		with, err := takeTurn(ctx, recorded, module, o.requests)
		if err != nil {
			return found, err
		}
		found.without, found.with = append(found.without, without), append(found.with, with)
	}
	if stats := module.Stats(); stats.Dropped > 0 {
		return found, fmt.Errorf("%d events were dropped: the figures would not be of storing them", stats.Dropped)
	}
	return found, nil
}

// answering serves one accounted route, signed in, behind the middleware.
func answering(middleware ...echo.MiddlewareFunc) *httptest.Server {
	e, routes := router(identity.RoleUser)
	e.Use(middleware...)
	text := strings.Repeat("x", 1024)
	routes.Add(web.Route{
		Method: http.MethodPost, Path: "/chat", Access: web.SignedIn, Service: "chat", Action: "complete", Hidden: true,
		Handler: web.Raw(func(c echo.Context, _ struct{}) error { return c.String(http.StatusOK, text) }, web.Returns[string](http.StatusOK, "text/plain", "A text.")),
	})
	return httptest.NewServer(e)
}

// takeTurn puts load on a server and waits until what it left is stored.
func takeTurn(ctx context.Context, server *httptest.Server, module *analytics.Module, requests int) (turn, error) {
	before, err := load.CPUTime(os.Getpid())
	if err != nil {
		return turn{}, err
	}
	address := strings.TrimPrefix(server.URL, "http://")
	request := load.Request{Wire: load.Encode(http.MethodPost, "/chat", address, nil, nil)}
	result, err := load.Run(ctx, load.Plan{
		Address: address, Connections: 10, Duration: load.MaxDuration, Requests: requests, Script: load.Repeat(request, http.StatusOK),
	})
	if err == nil && (result.Failed() > 0 || result.Requests < requests) {
		err = fmt.Errorf("%d of %d requests were answered, failures: %v", result.Requests-result.Failed(), requests, result.Failures)
	}
	if err == nil {
		err = module.Flush(ctx)
	}
	if err != nil {
		return turn{}, err
	}
	after, err := load.CPUTime(os.Getpid())
	return turn{cpu: (after - before) / time.Duration(result.Requests), result: result}, err
}

// write adds the table of one engine.
func (r recording) write(b *strings.Builder) {
	fmt.Fprint(b, "\n| a request over HTTP | CPU us | p50 us | p99 us |\n|---|---:|---:|---:|\n")
	for _, row := range []struct {
		name  string
		turns []turn
	}{{"without recording", r.without}, {"with recording", r.with}} {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", row.name, spread(row.turns, func(t turn) time.Duration { return t.cpu }),
			spread(row.turns, func(t turn) time.Duration { return t.result.Latency.P50 }),
			spread(row.turns, func(t turn) time.Duration { return t.result.Latency.P99 }))
	}
}

// spread writes the median of a figure in microseconds with its extremes.
func spread(turns []turn, figure func(turn) time.Duration) string {
	list := make([]time.Duration, len(turns))
	for i, t := range turns {
		list[i] = figure(t)
	}
	list = sortedCopy(list)
	return rig.Spread{
		Median: rig.Microseconds(percentile(list, 0.5)), Min: rig.Microseconds(list[0]), Max: rig.Microseconds(list[len(list)-1]),
	}.WithRange()
}
