package analytics

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
)

const (
	// settleTime is how long a question waits for events that are not stored
	// yet, so that callers see what they have just done. Where the storage hangs
	// it adds to the time that the question itself takes to find that out.
	settleTime = 600 * time.Millisecond
	// topLimit is the length of the lists of models and users that are used most.
	topLimit = 10
)

type service struct {
	repository Repository
	settle     func(ctx context.Context) error
	countUsers func(ctx context.Context) (int64, error)
	now        func() time.Time
}

// Query is a question as it was asked: every field is optional.
type Query struct {
	From, To *time.Time
	Service  string
	UserID   *int64 // for administrators: anyone; for others: themselves
}

// Overview is what was used in a scope.
type Overview struct {
	Scope
	Total     Figures
	Services  map[string]Figures // always holds the main services
	Latency   Percentiles
	TopModels []Rollup
	First     time.Time // zero when there was no request
	Last      time.Time
}

// SystemOverview is the overview of the whole installation.
type SystemOverview struct {
	Overview
	TotalUsers        int64
	ActiveUsers       int64 // accounts that made a request in the period
	AnonymousRequests int64
	TopUsers          []UserRollup
}

// OwnOverview returns the usage of the caller.
func (s *service) OwnOverview(ctx context.Context, q Query) (Overview, error) {
	id, err := identity.Require(ctx)
	if err != nil {
		return Overview{}, err
	}
	return s.UserOverview(ctx, id.UserID, q)
}

// UserOverview returns the usage of one account, for itself and for admins.
func (s *service) UserOverview(ctx context.Context, userID int64, q Query) (Overview, error) {
	if userID <= 0 {
		return Overview{}, noSuchUser()
	}
	q.UserID = &userID
	return s.overview(ctx, q)
}

// ServiceOverview returns the usage of one service: the caller's own, or for an
// admin everyone's.
func (s *service) ServiceOverview(ctx context.Context, name string, q Query) (Overview, error) {
	if !slices.Contains(knownServices, name) {
		return Overview{}, fault.NotFoundf("There is no service of this name; there are %s.", strings.Join(knownServices, ", "))
	}
	q.Service = name
	return s.overview(ctx, q)
}

// SystemOverview returns the usage of everyone, for admins.
func (s *service) SystemOverview(ctx context.Context, q Query) (SystemOverview, error) {
	if !identity.From(ctx).Admin() {
		return SystemOverview{}, fault.New(fault.Forbidden, "admin_only", "Only an administrator may see the figures of everyone.")
	}
	overview, err := s.overview(ctx, q)
	if err != nil {
		return SystemOverview{}, err
	}
	system := SystemOverview{Overview: overview}
	scope := overview.Scope
	if system.TotalUsers, err = s.countUsers(ctx); err != nil {
		return SystemOverview{}, err
	}
	if system.ActiveUsers, err = s.repository.CountUsers(ctx, scope); err != nil {
		return SystemOverview{}, err
	}
	if system.TopUsers, err = s.repository.ListTopUsers(ctx, scope, topLimit); err != nil {
		return SystemOverview{}, err
	}
	nobody := AnonymousUser
	scope.UserID = &nobody
	anonymous, err := s.repository.ListRollups(ctx, scope, Group{})
	if err != nil {
		return SystemOverview{}, err
	}
	system.AnonymousRequests = sum(anonymous).Requests
	return system, nil
}

func (s *service) overview(ctx context.Context, q Query) (Overview, error) {
	scope, err := s.scope(ctx, q, nil)
	if err != nil {
		return Overview{}, err
	}
	return s.overviewOf(ctx, scope)
}

func (s *service) overviewOf(ctx context.Context, scope Scope) (Overview, error) {
	rollups, err := s.repository.ListRollups(ctx, scope, Group{Service: true, Model: true})
	if err != nil {
		return Overview{}, err
	}
	latencies, err := s.repository.ListLatencies(ctx, scope, Group{})
	if err != nil {
		return Overview{}, err
	}
	overview := Overview{Scope: scope, Total: sum(rollups), Services: byService(rollups), TopModels: topModels(rollups)}
	all := sumLatencies(latencies)
	overview.Latency = all.Percentiles()
	overview.First, overview.Last, err = s.repository.FindSpan(ctx, scope)
	return overview, err
}

// scope checks a question and narrows it to what the caller may see. Faults
// that the caller of scope has found itself can be passed in to be reported
// together.
func (s *service) scope(ctx context.Context, q Query, fields *fault.Fields) (Scope, error) {
	id, err := identity.Require(ctx)
	if err != nil {
		return Scope{}, err
	}
	if fields == nil {
		fields = &fault.Fields{}
	}
	scope := Scope{Period: periodOf(q.From, q.To, s.now(), fields), UserID: q.UserID, Service: q.Service}
	fields.Check(q.Service == "" || slices.Contains(knownServices, q.Service), "service", "unknown_service",
		"must be one of "+strings.Join(knownServices, ", "))
	fields.Check(q.UserID == nil || *q.UserID >= ErasedUser, "user_id", "out_of_range",
		"must be the id of an account, 0 for anonymous callers or -1 for erased accounts")
	if err := fields.Err(); err != nil {
		return Scope{}, err
	}
	switch {
	case id.Admin():
	case q.UserID != nil && *q.UserID != id.UserID:
		return Scope{}, noSuchUser()
	default:
		scope.UserID = &id.UserID
	}
	s.catchUp(ctx)
	return scope, nil
}

// catchUp waits for the events that were recorded before the question. When the
// storage is too slow for that, the answer is merely a little behind.
func (s *service) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	_ = s.settle(ctx)
}

func noSuchUser() error { return fault.NotFoundf("There is no account with this id.") }

func sum(rollups []Rollup) Figures {
	var total Figures
	for _, r := range rollups {
		total.Add(r.Figures)
	}
	return total
}

func sumLatencies(rollups []LatencyRollup) Histogram {
	var total Histogram
	for _, r := range rollups {
		total.Add(r.Latencies)
	}
	return total
}

// byService sums per service; the main ones are there even without requests.
func byService(rollups []Rollup) map[string]Figures {
	services := make(map[string]Figures, len(mainServices))
	for _, name := range mainServices {
		services[name] = Figures{}
	}
	for _, r := range rollups {
		figures := services[r.Service]
		figures.Add(r.Figures)
		services[r.Service] = figures
	}
	return services
}

// topModels returns the models with the most requests, whatever the service.
func topModels(rollups []Rollup) []Rollup {
	models := fold(rollups, func(r Rollup) Rollup { return Rollup{Provider: r.Provider, Model: r.Model} })
	models = slices.DeleteFunc(models, func(r Rollup) bool { return r.Provider == "" && r.Model == "" })
	slices.SortStableFunc(models, func(a, b Rollup) int { return cmp.Compare(b.Requests, a.Requests) })
	return models[:min(len(models), topLimit)]
}

// fold sums rollups that label maps to the same group, in order of start,
// service, provider and model. label returns a Rollup without figures.
func fold(rollups []Rollup, label func(Rollup) Rollup) []Rollup {
	groups := map[Rollup]Figures{}
	for _, r := range rollups {
		group := label(r)
		figures := groups[group]
		figures.Add(r.Figures)
		groups[group] = figures
	}
	list := make([]Rollup, 0, len(groups))
	for group, figures := range groups {
		group.Figures = figures
		list = append(list, group)
	}
	slices.SortFunc(list, compareRollups)
	return list
}

func compareRollups(a, b Rollup) int {
	return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Service, b.Service),
		strings.Compare(a.Provider, b.Provider), strings.Compare(a.Model, b.Model))
}
