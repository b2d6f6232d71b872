package analytics

import (
	"context"
	"time"
)

type seriesRequest struct {
	Bucket string `query:"bucket" json:"-" enum:"hour,day,week,month" default:"day" doc:"The grain of the series."`
	PeriodQuery
	ServiceQuery
	UserQuery
}

// SeriesAnswer is usage over time.
type SeriesAnswer struct {
	UserID *int64        `json:"user_id" doc:"Whose figures these are; null means everyone's."`
	From   time.Time     `json:"from"`
	To     time.Time     `json:"to"`
	Bucket string        `json:"bucket" enum:"hour,day,week,month"`
	Series []SeriesPoint `json:"series" doc:"One point per bucket, also for those without requests."`
}

// SeriesPoint is the usage of one bucket.
type SeriesPoint struct {
	Start    time.Time                `json:"start"`
	Requests int64                    `json:"requests"`
	Failed   int64                    `json:"failed"`
	Tokens   int64                    `json:"tokens"`
	CostUSD  float64                  `json:"cost_usd"`
	Services map[string]ServiceTotals `json:"services" doc:"By service; chat, image and speech are always there."`
}

// ServiceTotals is the usage of one service in one bucket.
type ServiceTotals struct {
	Requests int64   `json:"requests"`
	Failed   int64   `json:"failed"`
	Tokens   int64   `json:"tokens"`
	CostUSD  float64 `json:"cost_usd"`
}

func (h *handlers) series(ctx context.Context, in seriesRequest) (SeriesAnswer, error) {
	query := Query{From: in.From, To: in.To, Service: in.Service, UserID: in.UserID}
	series, err := h.service.Usage(ctx, query, Bucket(in.Bucket))
	answer := SeriesAnswer{UserID: series.UserID, From: series.From, To: series.To, Bucket: string(series.Bucket)}
	answer.Series = make([]SeriesPoint, len(series.Points))
	for i, p := range series.Points {
		t := serviceTotals(p.Total)
		answer.Series[i] = SeriesPoint{p.Start, t.Requests, t.Failed, t.Tokens, t.CostUSD, totalsByService(p.Services)}
	}
	return answer, err
}

func serviceTotals(f Figures) ServiceTotals {
	return ServiceTotals{f.Requests, f.Failed, f.Tokens(), f.CostUSD()}
}

func totalsByService(services map[string]Figures) map[string]ServiceTotals {
	answer := make(map[string]ServiceTotals, len(services))
	for name, f := range services {
		answer[name] = serviceTotals(f)
	}
	return answer
}

type performanceRequest struct {
	PeriodQuery
	ServiceQuery
	UserQuery
}

// PerformanceAnswer is how fast and how reliable answers were.
type PerformanceAnswer struct {
	UserID        *int64                        `json:"user_id" doc:"Whose figures these are; null means everyone's."`
	From          time.Time                     `json:"from"`
	To            time.Time                     `json:"to"`
	TotalRequests int64                         `json:"total_requests"`
	SuccessRate   float64                       `json:"success_rate" doc:"0 to 1; 0 when there were no requests."`
	LatencyMS     LatencyFigures                `json:"latency_ms"`
	TTFTMS        int64                         `json:"ttft_ms" doc:"Mean time to the first byte of an answer; 0 when nothing has one."`
	Services      map[string]ServicePerformance `json:"services" doc:"By service; chat, image and speech are always there."`
	Models        []ModelPerformance            `json:"models"`
}

// LatencyFigures are latencies in milliseconds.
type LatencyFigures struct {
	Mean int64 `json:"mean"`
	P50  int64 `json:"p50"`
	P95  int64 `json:"p95"`
	P99  int64 `json:"p99"`
}

// ServicePerformance is the performance of one service.
type ServicePerformance struct {
	Requests    int64          `json:"requests"`
	Failed      int64          `json:"failed"`
	SuccessRate float64        `json:"success_rate"`
	LatencyMS   LatencyFigures `json:"latency_ms"`
	TTFTMS      int64          `json:"ttft_ms"`
}

// ModelPerformance is the performance of one model of a service.
type ModelPerformance struct {
	Service     string         `json:"service"`
	Provider    string         `json:"provider"`
	Model       string         `json:"model"`
	Requests    int64          `json:"requests"`
	Failed      int64          `json:"failed"`
	SuccessRate float64        `json:"success_rate"`
	LatencyMS   LatencyFigures `json:"latency_ms"`
	TTFTMS      int64          `json:"ttft_ms"`
}

func (h *handlers) performance(ctx context.Context, in performanceRequest) (PerformanceAnswer, error) {
	p, err := h.service.Performance(ctx, Query{From: in.From, To: in.To, Service: in.Service, UserID: in.UserID})
	answer := PerformanceAnswer{
		UserID: p.UserID, From: p.From, To: p.To,
		TotalRequests: p.Total.Requests, SuccessRate: p.Total.SuccessRate(), LatencyMS: latencyFigures(p.Total), TTFTMS: p.Total.MeanTTFTMS(),
		Services: make(map[string]ServicePerformance, len(p.Services)), Models: make([]ModelPerformance, len(p.Models)),
	}
	for name, s := range p.Services {
		answer.Services[name] = ServicePerformance{s.Requests, s.Failed, s.SuccessRate(), latencyFigures(s), s.MeanTTFTMS()}
	}
	for i, m := range p.Models {
		answer.Models[i] = ModelPerformance{m.Service, m.Provider, m.Model, m.Requests, m.Failed, m.SuccessRate(), latencyFigures(m.Speed), m.MeanTTFTMS()}
	}
	return answer, err
}

func latencyFigures(s Speed) LatencyFigures {
	return LatencyFigures{s.MeanLatencyMS(), s.Latency.P50, s.Latency.P95, s.Latency.P99}
}

type costsRequest struct {
	PeriodQuery
	ServiceQuery
	UserQuery
}

// CostsAnswer is what providers charged.
type CostsAnswer struct {
	UserID     *int64                   `json:"user_id" doc:"Whose figures these are; null means everyone's."`
	From       time.Time                `json:"from"`
	To         time.Time                `json:"to"`
	Currency   string                   `json:"currency" enum:"USD"`
	CostUSD    float64                  `json:"cost_usd"`
	ByService  map[string]ServiceTotals `json:"by_service" doc:"By service; chat, image and speech are always there."`
	ByProvider []ProviderCost           `json:"by_provider"`
	ByModel    []ModelCost              `json:"by_model"`
	ByDay      []DayCost                `json:"by_day" doc:"Every UTC day of the period."`
}

// ProviderCost is the cost of one provider.
type ProviderCost struct {
	Provider string  `json:"provider"`
	Requests int64   `json:"requests"`
	Tokens   int64   `json:"tokens"`
	CostUSD  float64 `json:"cost_usd"`
}

// ModelCost is the cost of one model of a service.
type ModelCost struct {
	Service  string     `json:"service"`
	Provider string     `json:"provider"`
	Model    string     `json:"model"`
	Requests int64      `json:"requests"`
	Tokens   TokenUsage `json:"tokens"`
	CostUSD  float64    `json:"cost_usd"`
}

// DayCost is the cost of one UTC day.
type DayCost struct {
	Start    time.Time `json:"start"`
	Requests int64     `json:"requests"`
	Tokens   int64     `json:"tokens"`
	CostUSD  float64   `json:"cost_usd"`
}

func (h *handlers) costs(ctx context.Context, in costsRequest) (CostsAnswer, error) {
	costs, err := h.service.Costs(ctx, Query{From: in.From, To: in.To, Service: in.Service, UserID: in.UserID})
	answer := CostsAnswer{
		UserID: costs.UserID, From: costs.From, To: costs.To, Currency: "USD", CostUSD: costs.Total.CostUSD(),
		ByService: totalsByService(costs.ByService), ByProvider: make([]ProviderCost, len(costs.ByProvider)),
		ByModel: make([]ModelCost, len(costs.ByModel)), ByDay: make([]DayCost, len(costs.ByDay)),
	}
	for i, p := range costs.ByProvider {
		answer.ByProvider[i] = ProviderCost{p.Provider, p.Requests, p.Tokens(), p.CostUSD()}
	}
	for i, m := range costs.ByModel {
		answer.ByModel[i] = ModelCost{m.Service, m.Provider, m.Model, m.Requests, tokenUsage(m.Figures), m.CostUSD()}
	}
	for i, d := range costs.ByDay {
		answer.ByDay[i] = DayCost{d.Start, d.Total.Requests, d.Total.Tokens(), d.Total.CostUSD()}
	}
	return answer, err
}
