package analytics

import (
	"slices"
	"time"
)

// nanoPerUSD is the unit costs are stored in: whole numbers add up exactly, in
// any order and on every engine.
const nanoPerUSD = 1_000_000_000

// The services of this product that generate something. The first three are
// listed in every answer, also with zeros.
var (
	mainServices  = []string{"chat", "image", "speech"}
	knownServices = append(slices.Clone(mainServices), "embedding")
)

// Figures are sums over requests. Every field only ever grows by addition, so
// that an engine can keep them with increments; averages are a sum and a count.
type Figures struct {
	Requests     int64 // all of them
	Failed       int64 // those whose status is not StatusOK: refused, failed and cancelled
	InputTokens  int64
	OutputTokens int64
	InputBytes   int64
	OutputBytes  int64
	CostNanoUSD  int64
	LatencySumMS int64 // of successful requests, so that refusals do not make a service look fast
	LatencyCount int64
	TTFTSumMS    int64 // time to first byte, of successful requests that have one
	TTFTCount    int64
}

// Add adds other to f.
func (f *Figures) Add(other Figures) {
	f.Requests += other.Requests
	f.Failed += other.Failed
	f.InputTokens += other.InputTokens
	f.OutputTokens += other.OutputTokens
	f.InputBytes += other.InputBytes
	f.OutputBytes += other.OutputBytes
	f.CostNanoUSD += other.CostNanoUSD
	f.LatencySumMS += other.LatencySumMS
	f.LatencyCount += other.LatencyCount
	f.TTFTSumMS += other.TTFTSumMS
	f.TTFTCount += other.TTFTCount
}

// Successful returns how many requests ended well.
func (f Figures) Successful() int64 { return f.Requests - f.Failed }

// SuccessRate returns the share of successful requests, 0 to 1; 0 when there
// were none.
func (f Figures) SuccessRate() float64 {
	if f.Requests == 0 {
		return 0
	}
	return float64(f.Successful()) / float64(f.Requests)
}

// Tokens returns input and output tokens together.
func (f Figures) Tokens() int64 { return f.InputTokens + f.OutputTokens }

// Bytes returns input and output bytes together.
func (f Figures) Bytes() int64 { return f.InputBytes + f.OutputBytes }

// CostUSD returns the cost in US dollars.
func (f Figures) CostUSD() float64 { return float64(f.CostNanoUSD) / nanoPerUSD }

// MeanLatencyMS returns the mean latency of successful requests, 0 when there
// were none.
func (f Figures) MeanLatencyMS() int64 { return mean(f.LatencySumMS, f.LatencyCount) }

// MeanTTFTMS returns the mean time to first byte, 0 when nothing has one.
func (f Figures) MeanTTFTMS() int64 { return mean(f.TTFTSumMS, f.TTFTCount) }

func mean(sum, count int64) int64 {
	if count == 0 {
		return 0
	}
	return (sum + count/2) / count
}

// Rollup is the figures of one group of requests. Fields a query does not group
// by are zero.
type Rollup struct {
	Start    time.Time // the hour or UTC day
	Service  string
	Provider string // "" for requests refused before a provider was chosen
	Model    string
	Figures
}

// LatencyRollup is the latency histogram of one group of requests.
type LatencyRollup struct {
	Service   string
	Provider  string
	Model     string
	Latencies Histogram
}

// UserRollup is the figures of one account.
type UserRollup struct {
	UserID int64
	Figures
}

// Scope selects the requests a query is about. Its period is always applied; an
// empty scope selects nothing.
type Scope struct {
	Period
	UserID  *int64 // nil = everyone; AnonymousUser and ErasedUser name those who are nobody
	Service string // "" = all
}

// The user ids of rollups that belong to no account.
const (
	AnonymousUser int64 = 0
	ErasedUser    int64 = -1
)

// Step is the grain in time of a grouped query.
type Step uint8

// The steps.
const (
	StepNone Step = iota
	StepHour
	StepDay
)

// Group says what a query groups by.
type Group struct {
	Step    Step
	Service bool
	Model   bool // provider and model
}
