package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"llmhist/bench/load"
	"llmhist/bench/rig"
)

// measured is what one engine did.
type measured struct {
	engine  engine
	version string
	content *content
	filled  time.Duration // how long filling took
	reads   []reading
	inserts []inserting
	noise   rig.Noise
	logged  map[string]int // what the server of the full store logged
}

// reading is one list: a result of each run for three depths.
type reading struct {
	list                   *list
	first, inside, deepest []load.Result
}

// ratio returns the median latency of a depth by that of the first page.
func (r reading) ratio(of []load.Result) float64 {
	return medianLatency(of) / medianLatency(r.first)
}

// quietRatio does so with the fastest tenth, which other programs disturb
// least: where the two differ, the machine was busy.
func (r reading) quietRatio(of []load.Result) float64 {
	fast := func(results []load.Result) float64 {
		return rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.Latency.P10) }).Min
	}
	return fast(of) / fast(r.first)
}

// inserting is one kind of insert into the full store and into the one that
// was empty at first.
type inserting struct {
	name        string
	full, empty []load.Result
}

func medianLatency(results []load.Result) float64 {
	return rig.SpreadOf(results, func(r load.Result) float64 { return rig.Microseconds(r.Latency.P50) }).Median
}

// measureEngine fills one of two stores and compares them, and the pages of the
// full one with each other.
func measureEngine(ctx context.Context, o options, e engine, dir string) (m measured, err error) {
	m = measured{engine: e}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	upstream, err := startUpstream(ctx, o, dir)
	if err != nil {
		return m, err
	}
	defer upstream.Stop()
	empty, err := openStore(ctx, o, e, filepath.Join(dir, "empty"), upstream.Address)
	defer empty.close()
	if err != nil {
		return m, err
	}
	full, err := openStore(ctx, o, e, filepath.Join(dir, "full"), upstream.Address)
	defer full.close()
	if err != nil {
		return m, err
	}
	oldest, err := m.fill(ctx, o, full)
	if err != nil {
		return m, err
	}
	begin, err := rig.ReadClock(full.server.PID(), empty.server.PID(), upstream.PID(), os.Getpid())
	if err != nil {
		return m, err
	}
	if err := m.read(ctx, o, full, oldest); err != nil {
		return m, err
	}
	if err := m.insert(ctx, o, full, empty); err != nil {
		return m, err
	}
	end, err := rig.ReadClock(full.server.PID(), empty.server.PID(), upstream.PID(), os.Getpid())
	m.noise, m.logged = end.Since(begin), full.server.Logged()
	return m, err
}

func startUpstream(ctx context.Context, o options, dir string) (*rig.Child, error) {
	upstream, err := rig.StartTool(ctx, dir, filepath.Join(o.tools, "fakeupstream"))
	if err == nil {
		upstream.Address = strings.TrimPrefix(strings.TrimSpace(upstream.First), "http://")
	}
	return upstream, err
}

func (m *measured) fill(ctx context.Context, o options, full *store) (map[string]string, error) {
	m.content = planContent(o, full.user.ID)
	say("%s: filling with %d images, %d messages in %d sessions, %d speeches", m.engine.name,
		m.content.images, m.content.messages, len(m.content.sessions), m.content.speech)
	db, err := full.open(ctx)
	if err != nil {
		return nil, err
	}
	if m.version, err = versionOf(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	began := time.Now()
	oldest, err := fill(ctx, db, m.content)
	m.filled = time.Since(began)
	m.content.turns = nil // they are many
	say("%s: filled in %s", m.engine.name, m.filled.Round(time.Second))
	return oldest, errors.Join(err, db.Close())
}

// read measures the pages of every list, the depths in turns.
func (m *measured) read(ctx context.Context, o options, full *store, oldest map[string]string) error {
	for _, l := range full.lists(m.content, oldest) {
		if err := l.check(ctx, full.server.Address); err != nil {
			return err
		}
		r, err := o.readDepths(ctx, full, l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		m.reads = append(m.reads, r)
		say("%s: %-25s %8d entries, first page %6.0f µs, inside %.2f times that, deepest %.2f; at p10 %.2f and %.2f", m.engine.name, l.name, l.total,
			medianLatency(r.first), r.ratio(r.inside), r.ratio(r.deepest), r.quietRatio(r.inside), r.quietRatio(r.deepest))
	}
	return nil
}

// readDepths asks for every page once before it measures: the first and the
// deepest page are repeated, and what is compared with them shall be the work
// for a page, not its first way from the disk.
func (o options) readDepths(ctx context.Context, full *store, l *list) (reading, error) {
	r := reading{list: l}
	var inside []string
	for _, number := range l.inside() {
		if _, err := l.ask(ctx, full.server.Address, number); err != nil {
			return r, err
		}
		inside = append(inside, l.page(number))
	}
	for range o.runs {
		for _, depth := range []struct {
			pages []string
			into  *[]load.Result
		}{{[]string{l.page(1)}, &r.first}, {inside, &r.inside}, {[]string{l.page(l.pages())}, &r.deepest}} {
			result, err := o.run(ctx, full, 1, rig.GetEach(depth.pages, l.token))
			if err != nil {
				return r, err
			}
			*depth.into = append(*depth.into, result)
		}
	}
	return r, nil
}

// insertConnections is how many clients add rows at once.
const insertConnections = 4

// insert measures every kind of insert, the stores in turns.
func (m *measured) insert(ctx context.Context, o options, full, empty *store) error {
	o.duration *= 2
	for _, kind := range inserts {
		i := inserting{name: kind.name}
		for range o.runs {
			for _, to := range []struct {
				store *store
				into  *[]load.Result
			}{{full, &i.full}, {empty, &i.empty}} {
				result, err := o.run(ctx, to.store, insertConnections, kind.post(to.store))
				if err != nil {
					return fmt.Errorf("%s: %w", kind.name, err)
				}
				*to.into = append(*to.into, result)
			}
		}
		m.inserts = append(m.inserts, i)
		say("%s: %-30s %6.0f/s, into an empty store %6.0f/s", m.engine.name, kind.name,
			rig.SpreadOf(i.full, load.Result.PerSecond).Median, rig.SpreadOf(i.empty, load.Result.PerSecond).Median)
	}
	return nil
}

// fewest is how many requests a run needs for a median that means something.
const fewest = 20

// run puts one load on a store. A run of too few requests, on a slow or busy
// machine, is made again and longer.
func (o options) run(ctx context.Context, s *store, connections int, script rig.Script) (load.Result, error) {
	plan := load.Plan{
		Address: s.server.Address, Connections: connections, Warmup: o.warmup, Duration: o.duration, Script: script(s.server.Address),
	}
	result, err := load.Run(ctx, plan)
	if err == nil && result.Requests < fewest {
		plan.Duration = min(20*plan.Duration, load.MaxDuration)
		plan.Requests = fewest
		result, err = load.Run(ctx, plan)
	}
	if err == nil && (result.Requests == 0 || result.Failed() > 0) {
		err = fmt.Errorf("%d of %d requests failed: %s: %s", result.Failed(), result.Requests, rig.Counts(result.Failures, "none"), s.server.LastWords())
	}
	return result, err
}
