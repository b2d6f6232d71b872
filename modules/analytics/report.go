package analytics

import (
	"context"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

// Series is usage over time, without gaps.
type Series struct {
	Scope
	Bucket Bucket
	Points []Point
}

// Point is the usage of one bucket.
type Point struct {
	Start    time.Time
	Total    Figures
	Services map[string]Figures // always holds the main services
}

// Usage returns the usage per bucket, "" meaning by the day.
func (s *service) Usage(ctx context.Context, q Query, bucket Bucket) (Series, error) {
	if bucket == "" {
		bucket = BucketDay
	}
	var fields fault.Fields
	fields.Check(bucket.valid(), "bucket", "unknown_bucket", "must be hour, day, week or month")
	scope, err := s.scope(ctx, q, &fields)
	if err != nil {
		return Series{}, err
	}
	points, err := s.points(ctx, scope, bucket)
	return Series{Scope: scope, Bucket: bucket, Points: points}, err
}

func (s *service) points(ctx context.Context, scope Scope, bucket Bucket) ([]Point, error) {
	starts, err := bucket.starts(scope.Period)
	if err != nil {
		return nil, err
	}
	rollups, err := s.repository.ListRollups(ctx, scope, Group{Step: bucket.step(), Service: true})
	if err != nil {
		return nil, err
	}
	byStart := make(map[time.Time][]Rollup, len(starts))
	for _, r := range rollups {
		start := bucket.start(r.Start)
		byStart[start] = append(byStart[start], r)
	}
	points := make([]Point, len(starts))
	for i, start := range starts {
		points[i] = Point{Start: start, Total: sum(byStart[start]), Services: byService(byStart[start])}
	}
	return points, nil
}

// Performance is how fast and how reliable answers were.
type Performance struct {
	Scope
	Total    Speed
	Services map[string]Speed // always holds the main services
	Models   []ModelSpeed     // ordered by service, provider and model
}

// Speed is the figures of a group together with its latencies.
type Speed struct {
	Figures
	Latency Percentiles
}

// ModelSpeed is the speed of one model of a service.
type ModelSpeed struct {
	Service, Provider, Model string
	Speed
}

// Performance returns latencies and success rates.
func (s *service) Performance(ctx context.Context, q Query) (Performance, error) {
	scope, err := s.scope(ctx, q, nil)
	if err != nil {
		return Performance{}, err
	}
	group := Group{Service: true, Model: true}
	rollups, err := s.repository.ListRollups(ctx, scope, group)
	if err != nil {
		return Performance{}, err
	}
	latencies, err := s.repository.ListLatencies(ctx, scope, group)
	if err != nil {
		return Performance{}, err
	}
	all := sumLatencies(latencies)
	performance := Performance{Scope: scope, Total: Speed{sum(rollups), all.Percentiles()}, Services: map[string]Speed{}}
	for name, figures := range byService(rollups) {
		histogram := latenciesOf(latencies, func(l LatencyRollup) bool { return l.Service == name })
		performance.Services[name] = Speed{figures, histogram.Percentiles()}
	}
	for _, r := range rollups {
		histogram := latenciesOf(latencies, func(l LatencyRollup) bool {
			return l.Service == r.Service && l.Provider == r.Provider && l.Model == r.Model
		})
		performance.Models = append(performance.Models, ModelSpeed{r.Service, r.Provider, r.Model, Speed{r.Figures, histogram.Percentiles()}})
	}
	return performance, nil
}

func latenciesOf(rollups []LatencyRollup, belongs func(LatencyRollup) bool) Histogram {
	var total Histogram
	for _, r := range rollups {
		if belongs(r) {
			total.Add(r.Latencies)
		}
	}
	return total
}

// Costs is what providers charged, seen from four sides. Each list but ByDay
// holds only what was used.
type Costs struct {
	Scope
	Total      Figures
	ByService  map[string]Figures // always holds the main services
	ByProvider []Rollup
	ByModel    []Rollup
	ByDay      []Point // every day of the period
}

// Costs returns what was spent.
func (s *service) Costs(ctx context.Context, q Query) (Costs, error) {
	scope, err := s.scope(ctx, q, nil)
	if err != nil {
		return Costs{}, err
	}
	rollups, err := s.repository.ListRollups(ctx, scope, Group{Service: true, Model: true})
	if err != nil {
		return Costs{}, err
	}
	days, err := s.points(ctx, scope, BucketDay)
	if err != nil {
		return Costs{}, err
	}
	byProvider := fold(rollups, func(r Rollup) Rollup { return Rollup{Provider: r.Provider} })
	return Costs{Scope: scope, Total: sum(rollups), ByService: byService(rollups), ByProvider: byProvider, ByModel: rollups, ByDay: days}, nil
}

// Report is an overview beside that of the period before, of the same length.
type Report struct {
	Overview
	Previous Overview
	TopUsers []UserRollup // for admins who ask about everyone, otherwise empty
}

// Report returns the summary of a period.
func (s *service) Report(ctx context.Context, q Query) (Report, error) {
	scope, err := s.scope(ctx, q, nil)
	if err != nil {
		return Report{}, err
	}
	var report Report
	if report.Overview, err = s.overviewOf(ctx, scope); err != nil {
		return Report{}, err
	}
	before := scope
	before.Period = scope.previous()
	if report.Previous, err = s.overviewOf(ctx, before); err != nil {
		return Report{}, err
	}
	if identity.From(ctx).Admin() && scope.UserID == nil {
		report.TopUsers, err = s.repository.ListTopUsers(ctx, scope, topLimit)
	}
	return report, err
}

// Ledger is every line of a report: one per day, service, provider and model.
type Ledger struct {
	Scope
	Lines []Rollup
}

// Ledger returns the lines of a report.
func (s *service) Ledger(ctx context.Context, q Query) (Ledger, error) {
	scope, err := s.scope(ctx, q, nil)
	if err != nil {
		return Ledger{}, err
	}
	lines, err := s.repository.ListRollups(ctx, scope, Group{Step: StepDay, Service: true, Model: true})
	return Ledger{Scope: scope, Lines: lines}, err
}
