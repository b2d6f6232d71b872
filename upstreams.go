package main

import (
	"fmt"
	"math"

	"llmhist/platform/operations"
	"llmhist/platform/outbound"
)

// upstream is how calls of one module to one remote provider go.
type upstream struct {
	module string
	outbound.Status
}

// upstreams lists every remote provider of every module.
func (a *App) upstreams() []upstream {
	list := []upstream{}
	for _, of := range []struct {
		module   string
		statuses []outbound.Status
	}{{"chat", a.chat.Upstreams()}, {"image", a.image.Upstreams()}, {"speech", a.speech.Upstreams()}} {
		for _, status := range of.statuses {
			list = append(list, upstream{of.module, status})
		}
	}
	return list
}

// measureUpstreams adds how calls to providers go.
func measureUpstreams(metrics *operations.Metrics, upstreams func() []upstream) {
	labels := []string{"service", "provider"}
	each := func(value func(upstream) float64) func() []operations.Sample {
		return func() []operations.Sample {
			samples := []operations.Sample{}
			for _, u := range upstreams() {
				samples = append(samples, operations.Sample{Value: value(u), Labels: []string{u.module, u.Provider}})
			}
			return samples
		}
	}
	metrics.CountEach("llmhist_provider_requests_total", "Calls to providers by how they went, retries included.",
		append(labels, "outcome"), func() []operations.Sample { return outcomesOf(upstreams()) })
	metrics.CountEach("llmhist_provider_retries_total", "Calls to providers that were made again after a failure.",
		labels, each(func(u upstream) float64 { return float64(u.Retries) }))
	metrics.GaugeEach("llmhist_provider_in_flight", "Calls to providers under way, until the end of the answer.",
		labels, each(func(u upstream) float64 { return float64(u.InFlight) }))
	metrics.GaugeEach("llmhist_provider_waiting", "Calls that wait because as many are under way as may be.",
		labels, each(func(u upstream) float64 { return float64(u.Waiting) }))
	metrics.GaugeEach("llmhist_provider_breaker_open", "1 from when a provider is left alone because it failed repeatedly until a request of it succeeds.",
		labels, each(func(u upstream) float64 {
			if u.Resting {
				return 1
			}
			return 0
		}))
}

func outcomesOf(upstreams []upstream) []operations.Sample {
	samples := []operations.Sample{}
	for _, u := range upstreams {
		for outcome, calls := range u.Calls {
			samples = append(samples, operations.Sample{Value: float64(calls), Labels: []string{u.module, u.Provider, string(outcome)}})
		}
	}
	return samples
}

// restingProviders names the providers that are left alone. The server is ready
// all the same: everything else works.
func (a *App) restingProviders() []operations.Notice {
	notices := []operations.Notice{}
	for _, u := range a.upstreams() {
		if !u.Resting {
			continue
		}
		detail := "failed repeatedly; the next request tries it again"
		if u.RestsFor > 0 {
			detail = fmt.Sprintf("failed repeatedly; a request tries it again in %.0f s", math.Ceil(u.RestsFor.Seconds()))
		}
		notices = append(notices, operations.Notice{Name: u.module + "/" + u.Provider, Detail: detail})
	}
	return notices
}
