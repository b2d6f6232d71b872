package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"llmhist/bench/load"
	"llmhist/bench/rig"
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
func (s *stage) measureScenarios(ctx context.Context) ([]row, rig.Noise, error) {
	var rows []row
	begin, err := s.clock()
	if err != nil {
		return nil, rig.Noise{}, err
	}
	for _, scenario := range s.scenarios() {
		if !s.options.only.MatchString(scenario.name) {
			continue
		}
		measured, err := s.measureScenario(ctx, scenario)
		if err != nil {
			return nil, rig.Noise{}, fmt.Errorf("%s: %w", scenario.name, err)
		}
		rows = append(rows, measured)
		say("%-55s %2d connections  %9.1f/s", scenario.name, scenario.connections, rig.SpreadOf(measured.server, load.Result.PerSecond).Median)
	}
	end, err := s.clock()
	return rows, end.Since(begin), err
}

// The own processes of a reading of the clock.
const (
	ownServer = iota
	ownYardstick
	ownUpstream
	ownDriver
)

func (s *stage) clock() (rig.Clock, error) {
	return rig.ReadClock(s.server.PID(), s.baseline.PID(), s.upstream.PID(), os.Getpid())
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

func (s *stage) run(ctx context.Context, server *rig.Child, scenario scenario, script rig.Script) (load.Result, error) {
	duration := s.options.duration
	if scenario.slow {
		duration *= slowFactor
	}
	result, err := load.Run(ctx, load.Plan{
		Address: server.Address, Connections: scenario.connections, Warmup: s.options.warmup, Duration: duration,
		Watch:  []int{watchServer: server.PID(), watchUpstream: s.upstream.PID(), watchDriver: os.Getpid()},
		Script: script(server.Address),
	})
	if err == nil && result.Failed() > 0 && result.Failed() == result.Requests {
		err = fmt.Errorf("every request failed: %s", rig.Counts(result.Failures, ""))
	}
	return result, err
}

// streamScript wants a stream that was answered to its end.
type streamScript struct {
	request load.Request
	end     string // what only a whole answer has
}

// Next repeats the request.
func (s streamScript) Next() load.Request { return s.request }

// Judge looks for the end of a whole answer.
func (s streamScript) Judge(status int, body []byte) error {
	switch {
	case status != http.StatusOK:
		return load.Unexpected(status)
	case !bytes.Contains(body, []byte(s.end)):
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

func cpuOf(process int) func(load.Result) float64 {
	return func(r load.Result) float64 { return rig.Microseconds(r.CPUPerRequest(process)) }
}
