package blob

// Waiting returns how many changes to the lines of key wait for the one being
// made, -1 when none is.
func Waiting(s *S3, key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, busy := s.queues[key]
	if !busy {
		return -1
	}
	return len(queue.waiting)
}
