package operations

import "github.com/prometheus/client_golang/prometheus"

// Sample is one value of a metric that has labels.
type Sample struct {
	Value  float64
	Labels []string // their values, in the order of the metric's names
}

// CountEach adds counters that differ in labels and are read when metrics are
// collected. No two samples may have the same labels.
func (m *Metrics) CountEach(name, help string, labels []string, read func() []Sample) {
	m.registry.MustRegister(labelled{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, read})
}

// GaugeEach adds gauges in the way of CountEach.
func (m *Metrics) GaugeEach(name, help string, labels []string, read func() []Sample) {
	m.registry.MustRegister(labelled{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, read})
}

// labelled collects the samples of one metric.
type labelled struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	read        func() []Sample
}

func (l labelled) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- l.description }

func (l labelled) Collect(metrics chan<- prometheus.Metric) {
	for _, sample := range l.read() {
		metrics <- prometheus.MustNewConstMetric(l.description, l.kind, sample.Value, sample.Labels...)
	}
}
