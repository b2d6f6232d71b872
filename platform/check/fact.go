package check

import "time"

// Comparison says whether one fact is the same on both sides.
type Comparison struct {
	name string
	same bool
}

// Fact compares two values.
func Fact[T comparable](name string, a, b T) Comparison { return Comparison{name, a == b} }

// Optional compares two values that may be absent.
func Optional[T comparable](name string, a, b *T) Comparison {
	if a == nil || b == nil {
		return Comparison{name, a == b}
	}
	return Comparison{name, *a == *b}
}

// Moment compares two times, whatever their zones.
func Moment(name string, a, b time.Time) Comparison { return Comparison{name, a.Equal(b)} }

// Differing returns the names of the facts that are not the same.
func Differing(facts ...Comparison) []string {
	var names []string
	for _, fact := range facts {
		if !fact.same {
			names = append(names, fact.name)
		}
	}
	return names
}
