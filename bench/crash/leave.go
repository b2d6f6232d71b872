package crash

import (
	"time"
)

// LeaveStreams has clients leave streamed answers at random bytes until so many
// did, at most for a time. Then it waits until the server has put away what had
// come, and finds what each client saw at the beginning of what is kept, and every
// request counted. No server is killed, so that nothing excuses an answer that is
// lost.
func (r *Run) LeaveStreams(leavers int, within time.Duration) error {
	r.cycles++
	r.field.strict = true
	all := r.writers
	defer func() { r.writers = all }()
	r.writers = nil
	for i := range 16 {
		w := &chatWriter{field: r.field, owner: r.chatters[i%len(r.chatters)], stream: true, leaves: true}
		r.writers = append(r.writers, writer{"leaving", w.step})
	}
	wait := r.load()
	for end := time.Now().Add(within); time.Now().Before(end) && r.Acknowledged("left stream") < leavers; time.Sleep(5 * time.Millisecond) {
	}
	r.field.going.Store(false)
	wait()
	if err := r.untilAllEnded(10 * time.Second); err != nil {
		return err
	}
	r.lookAtUsage()
	list := r.field.book.all()
	r.verified += len(list)
	hold(r.client(), list, r.violate)
	return nil
}

// untilAllEnded waits until no answer is unfinished.
func (r *Run) untilAllEnded(within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		var unfinished error
		for _, a := range r.chatters {
			if err := r.field.chatsEnded(r.client(), a); err != nil {
				unfinished = err
			}
		}
		if unfinished == nil || time.Now().After(deadline) {
			return unfinished
		}
	}
}
