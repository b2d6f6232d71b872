package analytics

import (
	"context"
	"time"
)

// What several descriptions in the reference say.
const (
	scopeText    = "An administrator sees everyone's figures, or those of `user_id`; anyone else their own. "
	overviewText = "Figures are by whole UTC hours: `from` is rounded down and `to` up, and the answer holds the effective times. " +
		"Refused, failed and cancelled requests count as failed. Latencies are those of successful requests; percentiles are read from a histogram whose buckets grow by √2."
	seriesText = "The series has no gaps and at most 2,000 points. Buckets follow the UTC calendar, weeks start on Monday; " +
		"the first bucket can begin before `from` but counts only what lies in the period."
	performanceText = "Latencies are those of successful requests. Lines with an empty provider are requests refused before one was chosen."
	costsText       = "`by_day` holds every UTC day of the period, the other lists only what was used."
	reportText      = "The summary compares the period with the one of the same length before it. `format=csv` downloads one line per UTC day, service, provider and model."
)

type handlers struct{ service *service }

// PeriodQuery is the input every route has.
type PeriodQuery struct {
	From *time.Time `query:"from" json:"-" doc:"Start of the period (RFC 3339); 30 days before 'to' unless sent. At most 400 days before it." example:"2026-01-01T00:00:00Z"`
	To   *time.Time `query:"to" json:"-" doc:"End of the period (RFC 3339), not included; now unless sent." example:"2026-02-01T00:00:00Z"`
}

// ServiceQuery is the filter by service.
type ServiceQuery struct {
	Service string `query:"service" json:"-" enum:"chat,image,speech,embedding" doc:"Only this service."`
}

// UserQuery is the filter by account.
type UserQuery struct {
	UserID *int64 `query:"user_id" json:"-" minimum:"-1" doc:"Only this account, for administrators; 0 selects anonymous callers and -1 erased accounts."`
}

type ownOverviewRequest struct {
	PeriodQuery
	ServiceQuery
}

func (h *handlers) ownOverview(ctx context.Context, in ownOverviewRequest) (OverviewAnswer, error) {
	overview, err := h.service.OwnOverview(ctx, Query{From: in.From, To: in.To, Service: in.Service})
	return overviewAnswer(overview), err
}

type userOverviewRequest struct {
	ID int64 `path:"id" json:"-" doc:"The account."`
	PeriodQuery
	ServiceQuery
}

func (h *handlers) userOverview(ctx context.Context, in userOverviewRequest) (OverviewAnswer, error) {
	overview, err := h.service.UserOverview(ctx, in.ID, Query{From: in.From, To: in.To, Service: in.Service})
	return overviewAnswer(overview), err
}

type serviceOverviewRequest struct {
	Name string `path:"service" json:"-" enum:"chat,image,speech,embedding" doc:"The service."`
	PeriodQuery
	UserQuery
}

func (h *handlers) serviceOverview(ctx context.Context, in serviceOverviewRequest) (OverviewAnswer, error) {
	overview, err := h.service.ServiceOverview(ctx, in.Name, Query{From: in.From, To: in.To, UserID: in.UserID})
	return overviewAnswer(overview), err
}

type systemOverviewRequest struct {
	PeriodQuery
	ServiceQuery
	UserQuery
}

func (h *handlers) systemOverview(ctx context.Context, in systemOverviewRequest) (SystemAnswer, error) {
	system, err := h.service.SystemOverview(ctx, Query{From: in.From, To: in.To, Service: in.Service, UserID: in.UserID})
	return SystemAnswer{
		OverviewAnswer:    overviewAnswer(system.Overview),
		Users:             SystemUsers{Total: system.TotalUsers, Active: system.ActiveUsers},
		AnonymousRequests: system.AnonymousRequests,
		TopUsers:          userLines(system.TopUsers),
	}, err
}

// OverviewAnswer is the usage in a period.
type OverviewAnswer struct {
	UserID             *int64                  `json:"user_id" doc:"Whose figures these are; null means everyone's."`
	From               time.Time               `json:"from" doc:"The effective start, a whole UTC hour."`
	To                 time.Time               `json:"to" doc:"The effective end, a whole UTC hour, not included."`
	TotalRequests      int64                   `json:"total_requests"`
	SuccessfulRequests int64                   `json:"successful_requests"`
	FailedRequests     int64                   `json:"failed_requests" doc:"Refused, failed and cancelled ones."`
	SuccessRate        float64                 `json:"success_rate" doc:"0 to 1; 0 when there were no requests."`
	Services           map[string]ServiceUsage `json:"services" doc:"By service; chat, image and speech are always there."`
	Tokens             TokenUsage              `json:"tokens"`
	Bytes              int64                   `json:"bytes" doc:"Of input and output together."`
	CostUSD            float64                 `json:"cost_usd"`
	LatencyMS          LatencyPercentiles      `json:"latency_ms"`
	TopModels          []ModelRequests         `json:"top_models" doc:"The ten with the most requests."`
	FirstRequest       *time.Time              `json:"first_request" doc:"In the period; null when there was none."`
	LastRequest        *time.Time              `json:"last_request"`
}

// SystemAnswer is the usage of the whole installation.
type SystemAnswer struct {
	OverviewAnswer
	Users             SystemUsers `json:"users"`
	AnonymousRequests int64       `json:"anonymous_requests"`
	TopUsers          []UserLine  `json:"top_users" doc:"The ten with the most requests."`
}

// SystemUsers counts accounts.
type SystemUsers struct {
	Total  int64 `json:"total"`
	Active int64 `json:"active" doc:"Those that made a request in the period."`
}

// ServiceUsage is the usage of one service.
type ServiceUsage struct {
	Requests  int64   `json:"requests"`
	Failed    int64   `json:"failed"`
	Tokens    int64   `json:"tokens"`
	CostUSD   float64 `json:"cost_usd"`
	LatencyMS int64   `json:"latency_ms" doc:"The mean of successful requests."`
}

// TokenUsage is tokens by direction.
type TokenUsage struct {
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
	Total  int64 `json:"total"`
}

// LatencyPercentiles are latencies in milliseconds.
type LatencyPercentiles struct {
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	P99 int64 `json:"p99"`
}

// ModelRequests counts the requests of one model.
type ModelRequests struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
}

// UserLine is the usage of one account.
type UserLine struct {
	UserID   int64   `json:"user_id"`
	Requests int64   `json:"requests"`
	Failed   int64   `json:"failed"`
	Tokens   int64   `json:"tokens"`
	CostUSD  float64 `json:"cost_usd"`
}

func overviewAnswer(o Overview) OverviewAnswer {
	return OverviewAnswer{
		UserID: o.UserID, From: o.From, To: o.To,
		TotalRequests: o.Total.Requests, SuccessfulRequests: o.Total.Successful(), FailedRequests: o.Total.Failed,
		SuccessRate: o.Total.SuccessRate(), Services: serviceUsage(o.Services), Tokens: tokenUsage(o.Total),
		Bytes: o.Total.Bytes(), CostUSD: o.Total.CostUSD(), LatencyMS: LatencyPercentiles(o.Latency),
		TopModels: modelRequests(o.TopModels), FirstRequest: optionalTime(o.First), LastRequest: optionalTime(o.Last),
	}
}

func serviceUsage(services map[string]Figures) map[string]ServiceUsage {
	answer := make(map[string]ServiceUsage, len(services))
	for name, f := range services {
		answer[name] = ServiceUsage{f.Requests, f.Failed, f.Tokens(), f.CostUSD(), f.MeanLatencyMS()}
	}
	return answer
}

func tokenUsage(f Figures) TokenUsage { return TokenUsage{f.InputTokens, f.OutputTokens, f.Tokens()} }

func modelRequests(models []Rollup) []ModelRequests {
	list := make([]ModelRequests, len(models))
	for i, m := range models {
		list[i] = ModelRequests{m.Provider, m.Model, m.Requests}
	}
	return list
}

func userLines(users []UserRollup) []UserLine {
	list := make([]UserLine, len(users))
	for i, u := range users {
		list[i] = UserLine{u.UserID, u.Requests, u.Failed, u.Tokens(), u.CostUSD()}
	}
	return list
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
