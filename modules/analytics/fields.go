package analytics

import "fmt"

// figureFields are the columns and the fields of documents that hold Figures.
var figureFields = []struct {
	name string
	of   func(*Figures) *int64
}{
	{"requests", func(f *Figures) *int64 { return &f.Requests }},
	{"failed", func(f *Figures) *int64 { return &f.Failed }},
	{"input_tokens", func(f *Figures) *int64 { return &f.InputTokens }},
	{"output_tokens", func(f *Figures) *int64 { return &f.OutputTokens }},
	{"input_bytes", func(f *Figures) *int64 { return &f.InputBytes }},
	{"output_bytes", func(f *Figures) *int64 { return &f.OutputBytes }},
	{"cost_nano_usd", func(f *Figures) *int64 { return &f.CostNanoUSD }},
	{"latency_sum_ms", func(f *Figures) *int64 { return &f.LatencySumMS }},
	{"latency_count", func(f *Figures) *int64 { return &f.LatencyCount }},
	{"ttft_sum_ms", func(f *Figures) *int64 { return &f.TTFTSumMS }},
	{"ttft_count", func(f *Figures) *int64 { return &f.TTFTCount }},
}

// bucketField names the column or the field of a latency bucket.
func bucketField(bucket int) string { return fmt.Sprintf("latency_%d", bucket) }

func figureNames() []string {
	names := make([]string, len(figureFields))
	for i, field := range figureFields {
		names[i] = field.name
	}
	return names
}

func bucketNames() []string {
	names := make([]string, latencyBuckets)
	for i := range names {
		names[i] = bucketField(i)
	}
	return names
}

func figuresOf(fields map[string]int64) Figures {
	var f Figures
	for _, field := range figureFields {
		*field.of(&f) = fields[field.name]
	}
	return f
}
