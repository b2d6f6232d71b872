// Package check is what a comparison of stores reports: findings with stable
// codes, bounded in number, and counts of what was looked at. It knows no
// store; those who compare bring their findings here.
package check

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"llmhist/platform/fault"
)

// Finding is one difference. Its texts never hold what users wrote.
type Finding struct {
	Code    string `json:"code"`    // stable: "row_missing"
	Service string `json:"service"` // whose it is: "image", "chat", "database"
	ID      string `json:"id,omitempty"`
	Key     string `json:"key,omitempty"` // of an object
	Detail  string `json:"detail"`
	// Repairable says that a repair can mend it; Repaired that it did.
	Repairable bool   `json:"repairable"`
	Repaired   bool   `json:"repaired"`
	Done       string `json:"done,omitempty"`    // what the repair did
	Failure    string `json:"failure,omitempty"` // why the repair did not work
}

// Repair mends a finding and says what it did. nil = nothing can.
type Repair func(ctx context.Context) (done string, err error)

// Options say how to compare.
type Options struct {
	// Grace is how old something unfinished must be before it is a difference,
	// and an orphan before it is removed.
	Grace  time.Duration
	Repair bool // mend what can be mended
	Fast   bool // compare sizes and stored hashes, read no media
	Now    func() time.Time
}

// Old reports whether what happened at that time is older than the grace.
func (o Options) Old(at time.Time) bool { return o.Now().Sub(at) >= o.Grace }

// maxKept is how many findings of one code are kept; all are counted.
const maxKept = 1000

// Report collects findings and counts. It is safe for concurrent use.
type Report struct {
	Options
	mu       sync.Mutex
	findings map[string][]Finding
	counts   map[string]Count
	areas    []*Area
}

// Count is how often a code was found, and mended.
type Count struct {
	Found    int64 `json:"found"`
	Repaired int64 `json:"repaired"`
}

// Area counts what was looked at in one service.
type Area struct {
	Service    string
	Rows       atomic.Int64
	Records    atomic.Int64
	Media      atomic.Int64
	IndexLines atomic.Int64
	Bytes      atomic.Int64 // of the media that were read
	Took       time.Duration
}

// NewReport returns an empty report.
func NewReport(options Options) *Report {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Report{Options: options, findings: map[string][]Finding{}, counts: map[string]Count{}}
}

// Add reports a finding, after its repair where one is given and wanted. The
// error is that of a context that ended; what fails otherwise is written into
// the finding.
func (r *Report) Add(ctx context.Context, finding Finding, repair Repair) error {
	finding.Repairable = repair != nil
	if r.Repair && repair != nil {
		done, err := repair(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		finding.Done, finding.Repaired = done, err == nil
		if err != nil {
			finding.Failure = say(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.counts[finding.Code]
	count.Found++
	if finding.Repaired {
		count.Repaired++
	}
	r.counts[finding.Code] = count
	if len(r.findings[finding.Code]) < maxKept {
		r.findings[finding.Code] = append(r.findings[finding.Code], finding)
	}
	return nil
}

// say returns what a fault tells people: its cause may hold more than may be
// shown.
func say(err error) string {
	var known *fault.Error
	if errors.As(err, &known) {
		return known.Code + ": " + known.Detail
	}
	return err.Error()
}

// Area begins counting for a service.
func (r *Report) Area(service string) *Area {
	r.mu.Lock()
	defer r.mu.Unlock()
	area := &Area{Service: service}
	r.areas = append(r.areas, area)
	return area
}

// Areas returns the areas in the order in which they began.
func (r *Report) Areas() []*Area {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.areas)
}

// Counts returns how often each code was found.
func (r *Report) Counts() map[string]Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make(map[string]Count, len(r.counts))
	for code, count := range r.counts {
		counts[code] = count
	}
	return counts
}

// Findings returns what was kept, ordered by code, service, id and key.
func (r *Report) Findings() []Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []Finding{}
	for _, some := range r.findings {
		list = append(list, some...)
	}
	slices.SortFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Detail, b.Detail))
	})
	return list
}

// Left returns how many differences there are still.
func (r *Report) Left() int64 {
	var left int64
	for _, count := range r.Counts() {
		left += count.Found - count.Repaired
	}
	return left
}
