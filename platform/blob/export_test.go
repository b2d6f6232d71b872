package blob

import (
	"maps"
	"slices"
)

// BusyKeys returns the keys whose lines have been taken up to be written.
func BusyKeys(s *S3) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := map[string]bool{}
	for key, queue := range s.queues {
		if len(queue.waiting) == 0 {
			busy[key] = true
		}
	}
	return slices.Collect(maps.Keys(busy))
}
