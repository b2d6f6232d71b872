package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"llmhist/bench/load"
)

// row is what one scenario measured, one result for each run.
type row struct {
	scenario scenario
	server   []load.Result
	baseline []load.Result
}

// The watched processes of a run, by their place in Plan.Watch.
const (
	watchServer = iota // llmhist or the yardstick
	watchUpstream
	watchDriver
)

// measureScenarios runs every scenario. llmhist and the yardstick take turns, so
// that both see the same moods of the machine. It also returns how busy others
// kept the machine meanwhile.
func (s *stage) measureScenarios(ctx context.Context) ([]row, noise, error) {
	var rows []row
	begin, err := s.clock()
	if err != nil {
		return nil, noise{}, err
	}
	for _, scenario := range s.scenarios() {
		if !s.options.only.MatchString(scenario.name) {
			continue
		}
		measured, err := s.measureScenario(ctx, scenario)
		if err != nil {
			return nil, noise{}, fmt.Errorf("%s: %w", scenario.name, err)
		}
		rows = append(rows, measured)
		say("%-55s %2d connections  %9.1f/s", scenario.name, scenario.connections, spreadOf(measured.server, load.Result.PerSecond).median)
	}
	end, err := s.clock()
	return rows, end.since(begin), err
}

// slowFactor is how much longer a run of slow requests takes.
const slowFactor = 3

func (s *stage) measureScenario(ctx context.Context, scenario scenario) (row, error) {
	r := row{scenario: scenario}
	for range s.options.runs {
		result, err := s.run(ctx, s.server, scenario, scenario.server)
		if err != nil {
			return r, err
		}
		r.server = append(r.server, result)
		if scenario.baseline == nil {
			continue
		}
		if result, err = s.run(ctx, s.baseline, scenario, scenario.baseline); err != nil {
			return r, err
		}
		r.baseline = append(r.baseline, result)
	}
	return r, nil
}

func (s *stage) run(ctx context.Context, server *child, scenario scenario, script script) (load.Result, error) {
	duration := s.options.duration
	if scenario.slow {
		duration *= slowFactor
	}
	result, err := load.Run(ctx, load.Plan{
		Address: server.address, Connections: scenario.connections, Warmup: s.options.warmup, Duration: duration,
		Watch:  []int{watchServer: server.pid(), watchUpstream: s.upstream.pid(), watchDriver: os.Getpid()},
		Script: script(server.address),
	})
	if err == nil && result.Failed() > 0 && result.Failed() == result.Requests {
		err = fmt.Errorf("every request failed: %s", counts(result.Failures, ""))
	}
	return result, err
}

// streamScript wants a stream that was answered to its end.
type streamScript struct{ request load.Request }

// Next repeats the request.
func (s streamScript) Next() load.Request { return s.request }

// Judge looks for the event that only a whole answer has.
func (s streamScript) Judge(status int, body []byte) error {
	switch {
	case status != http.StatusOK:
		return load.Unexpected(status)
	case !bytes.Contains(body, []byte("event: done")):
		return errCut
	case bytes.Count(body, s.request.Marker) < 100:
		return errFew
	default:
		return nil
	}
}

var (
	errCut = errors.New("stream without its last event")
	errFew = errors.New("stream of fewer events than the upstream sent")
)

// spread is a figure over several runs.
type spread struct{ median, min, max float64 }

// spreadOf returns the median of a figure and its extremes; the lower one of two
// middle values.
func spreadOf(results []load.Result, figure func(load.Result) float64) spread {
	if len(results) == 0 {
		return spread{}
	}
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = figure(r)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	return spread{median: values[(len(values)-1)/2], min: values[0], max: values[len(values)-1]}
}

func cpuOf(process int) func(load.Result) float64 {
	return func(r load.Result) float64 { return microseconds(r.CPUPerRequest(process)) }
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
