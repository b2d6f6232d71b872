package crash

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// ledger counts the requests that are usage events, for each access token.
type ledger struct {
	mu     sync.Mutex
	counts map[string]charged
}

// charged is what an account asked to have generated.
type charged struct {
	asked    int // each is one event at most
	answered int // those of which the whole answer came, whose event is in a file before its end is sent
}

func newLedger() *ledger { return &ledger{counts: map[string]charged{}} }

func (l *ledger) ask(credential string) { l.add(credential, charged{asked: 1}) }

func (l *ledger) answer(credential string) { l.add(credential, charged{answered: 1}) }

func (l *ledger) add(credential string, more charged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	so := l.counts[credential]
	l.counts[credential] = charged{so.asked + more.asked, so.answered + more.answered}
}

func (l *ledger) of(credential string) charged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[credential]
}

const (
	// arrivalTime is how long events may take to be counted after a start, and
	// tookOverTime after the document store ended in the middle of a batch: another
	// process would have to be sure first that nobody is at work on that.
	arrivalTime  = 5 * time.Second
	tookOverTime = 90 * time.Second
)

// accounted compares the usage figures of an account with what it asked for: in time
// no event of an answer is missing, and none is counted twice.
func (f *field) accounted(c *client, a *account) error {
	deadline := time.Now().Add(arrivalTime)
	if f.remote {
		deadline = time.Now().Add(tookOverTime)
	}
	so := f.ledger.of(a.access)
	for {
		found, err := c.find("/analytics/user/me", a.access)
		if err != nil {
			return err
		}
		total, _ := found["total_requests"].(float64)
		successful, _ := found["successful_requests"].(float64)
		missing := int(successful) < so.answered
		if int(total) > so.asked || missing && time.Now().After(deadline) {
			return fmt.Errorf("the usage of account %d has %v requests, %v of them successful; %d were made and %d answered", a.id, total, successful, so.asked, so.answered)
		}
		if !missing {
			return nil
		}
		time.Sleep(time.Second)
		f.nudge(c)
	}
}

// nudge has an event stored, of a request that is refused: with the next events those
// are counted that the end of the document store left behind.
func (f *field) nudge(c *client) {
	_ = c.call(http.MethodPost, "/image/generate", f.admin, pictures.ask(""))
}
