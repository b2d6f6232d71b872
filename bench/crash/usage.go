package crash

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ledger counts the requests that are usage events: those of each access token, and
// all.
type ledger struct {
	mu     sync.Mutex
	counts map[string]charged
}

// charged is what was asked to have generated.
type charged struct {
	asked    int // each is one event at most
	answered int // those of which the whole answer came, whose event is in a file before its end is sent
}

// everyone stands in a ledger for all access tokens, and for those without one.
const everyone = "everyone"

func newLedger() *ledger { return &ledger{counts: map[string]charged{}} }

func (l *ledger) ask(credential string) { l.add(credential, charged{asked: 1}) }

func (l *ledger) answer(credential string) { l.add(credential, charged{answered: 1}) }

// unask takes back a request that never reached a server, for nobody listened.
func (l *ledger) unask(credential string, err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		l.add(credential, charged{asked: -1})
	}
}

func (l *ledger) add(credential string, more charged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, whose := range []string{credential, everyone} {
		so := l.counts[whose]
		l.counts[whose] = charged{so.asked + more.asked, so.answered + more.answered}
	}
}

func (l *ledger) of(whose string) charged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[whose]
}

// settle puts what became of all requests so far in place of what was known of them.
func (l *ledger) settle(whose string, became charged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[whose] = became
}

const (
	// arrivalTime is how long events may take to be stored after a start on a machine
	// with too much to do, and tookOverTime to be counted after the document store ended
	// in the middle of a batch: another process would have to be sure first that nobody
	// is at work on that.
	arrivalTime  = 15 * time.Second
	tookOverTime = 90 * time.Second
)

// lookAtUsage compares the usage figures of the accounts that generate, and of
// everyone, anonymous callers and erased accounts among them, with what was asked
// for. Nobody writes.
//
// On the embedded engines a start by itself counts everything that the end of the
// last one left. The figures are exact then, and the next look begins with them: what
// it cannot know are the few requests that one kill broke off, not those of all
// kills, among which losses could hide.
func (r *Run) lookAtUsage() {
	if !r.field.remote {
		if err := r.delivered(); err != nil {
			r.violate("%v", err)
			return
		}
	}
	look := func(path, credential, whose string) {
		if err := patiently(func() error { return r.field.accounted(r.client(), path, credential, whose) }); err != nil {
			r.violate("%v", err)
		}
	}
	for _, a := range r.chatters {
		look("/analytics/user/me", a.access, a.access)
	}
	look("/analytics/system", r.field.admin, everyone)
}

// delivered waits until no event waits to be stored.
func (r *Run) delivered() error {
	for deadline := time.Now().Add(arrivalTime); ; time.Sleep(10 * time.Millisecond) {
		files, err := os.ReadDir(filepath.Join(r.DataDir(), "outbox", "analytics"))
		if err != nil || len(files) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s after a start usage events still wait in %v", arrivalTime, files)
		}
	}
}

// accounted compares figures with what was asked for: in time no event of an answer
// is missing, and none is counted twice. Where no server is killed none at all is
// missing.
func (f *field) accounted(c *client, path, credential, whose string) error {
	var within time.Duration // nothing waits any more
	pause := 20 * time.Millisecond
	switch {
	case f.remote:
		within, pause = tookOverTime, time.Second
	case f.strict: // the server may not have noticed yet that the last client left
		within = arrivalTime
	}
	for deadline := time.Now().Add(within); ; time.Sleep(pause) {
		so := f.ledger.of(whose)
		found, err := c.find(path, credential)
		if err != nil {
			return err
		}
		total, _ := found["total_requests"].(float64)
		successful, _ := found["successful_requests"].(float64)
		became := charged{int(total), int(successful)}
		excess := became.asked > so.asked
		missing := became.answered < so.answered || f.strict && became.asked < so.asked
		if missing && !excess && time.Now().Before(deadline) {
			f.nudge(c)
			continue
		}
		if !f.remote {
			f.ledger.settle(whose, became)
		}
		if excess || missing {
			return fmt.Errorf("GET %s for account %v counts %d requests, %d of them successful; %d were made and %d answered",
				path, found["user_id"], became.asked, became.answered, so.asked, so.answered)
		}
		if so.answered > 0 {
			f.book.count("usage figures")
		}
		return nil
	}
}

// nudge has an event stored, of a request that is refused: with the next events those
// are counted that the end of the document store left behind. The embedded engines
// leave none.
func (f *field) nudge(c *client) {
	if f.remote {
		f.ledger.ask(f.admin)
		_ = c.call(http.MethodPost, "/image/generate", f.admin, pictures.ask(""))
	}
}
