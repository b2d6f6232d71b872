package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Acknowledged returns how many requests of a kind, such as "image" or
// "rotation", were answered with success.
func (r *Run) Acknowledged(kind string) int { return r.field.book.totals()[kind] }

// Kinds are the acknowledgements that a long enough run has of each.
var Kinds = []string{
	"image", "image deletion", "speech", "speech deletion", "chat session", "chat answer", "streamed answer", "left stream", "chat session deletion",
	"registration", "sign-in", "rotation", "reuse refused", "session revocation", "sign-out", "API key", "API key deletion", "quota", "account deletion",
	"usage figures",
}

// Report says in a few lines what was done and what was found.
func (r *Run) Report() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d cycles; ended: %s\n", r.cycles, listed(r.moments))
	fmt.Fprintf(&text, "acknowledged: %s\n", listed(r.field.book.totals()))
	fmt.Fprintf(&text, "not acknowledged: %d requests, %d of them refused with 503 while no engine was away\n", r.field.unsure.Load(), r.field.slow.Load())
	fmt.Fprintf(&text, "verified: %d times a fact; starts took %s (median) to %s\n", r.verified, r.start50(), slices.Max(r.starts).Round(time.Millisecond))
	if r.checked {
		text.WriteString("llmhist check ran at the end\n")
	} else {
		text.WriteString("llmhist check was not run: this binary has no such command, or the run did not come so far\n")
	}
	violations := r.Violations()
	fmt.Fprintf(&text, "violations: %d\n", len(violations))
	for _, one := range violations {
		fmt.Fprintf(&text, "  %s\n", one)
	}
	return text.String()
}

func (r *Run) start50() time.Duration {
	sorted := slices.Sorted(slices.Values(r.starts))
	return sorted[len(sorted)/2].Round(time.Millisecond)
}

func listed(counts map[string]int) string {
	parts := []string{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}
