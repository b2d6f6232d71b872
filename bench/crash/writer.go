package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// field is what all writers of a run share.
type field struct {
	book    *book
	ledger  *ledger
	violate func(format string, args ...any)
	remote  bool // the engines are processes of their own, which may be slow
	strict  bool // no server is killed: an answer that was begun is never interrupted

	client atomic.Pointer[client] // of the server's current start
	going  atomic.Bool            // writers go on
	dying  atomic.Bool            // the server is being ended: connections may break
	settle atomic.Bool            // the server was started after the last fault: nothing is unfinished
	lame   atomic.Int64           // until when an engine may be away, in Unix nanoseconds

	admin   string // access token of the administrator
	unsure  atomic.Int64
	slow    atomic.Int64 // refused with 503 while nothing was away
	serial  atomic.Int64
	closing ids // numbers of the accounts whose deletion was begun
}

// forever is a time at which no test runs any more.
const forever = int64(1) << 62

// away tells from which moment an engine may be away, back until when.
func (f *field) away()                { f.lame.Store(forever) }
func (f *field) back(until time.Time) { f.lame.Store(until.UnixNano()) }

// faulty reports whether an engine may be away at a time.
func (f *field) faulty(at time.Time) bool { return at.UnixNano() < f.lame.Load() }

// outcome is what a writer knows about its request.
type outcome int

const (
	done   outcome = iota // acknowledged
	unsure                // nobody knows whether it was carried out
)

// ask sends a request and judges the answer: one of the statuses in want, a
// broken connection while the server is being ended, a 503 while an engine is
// away. Everything else is a violation, for what the writers ask is always there
// to be had.
func (f *field) ask(method, path, credential string, body any, want ...int) (answer, outcome) {
	began := time.Now()
	got := f.client.Load().call(method, path, credential, body)
	return got, f.judge(method+" "+path, began, got, want...)
}

func (f *field) judge(what string, began time.Time, got answer, want ...int) outcome {
	switch {
	case got.is(want...):
		return done
	case got.err != nil && f.dying.Load():
	case got.unavailable() && f.faulty(began):
	case got.unavailable() && f.remote: // honest, and nothing is lost by it; told in the report
		f.slow.Add(1)
	default:
		f.violate("%s: %s", what, got)
	}
	f.unsure.Add(1)
	return unsure
}

// mark returns a text that no other request has.
func (f *field) mark(kind string) string { return fmt.Sprintf("%s %d", kind, f.serial.Add(1)) }

// account is a user whose writers sign in once: access tokens outlive the
// server, as all that was acknowledged does.
type account struct {
	id              int64
	email, password string
	access          string
	told            []*fact // that it was made and signed in
}

// newAccount registers an account and signs in. It returns false when either
// was not acknowledged.
func (f *field) newAccount() (*account, *session, bool) {
	a := &account{email: fmt.Sprintf("u%d-%08x@example.com", f.serial.Add(1), rand.Uint32()), password: "a password of eight"}
	got, out := f.ask(http.MethodPost, "/auth/register", "", object{"email": a.email, "password": a.password}, http.StatusCreated)
	if out != done {
		return nil, nil, false
	}
	number, _ := got.fields()["id"].(float64)
	a.id = int64(number)
	a.told = append(a.told, f.book.add("registration", a.canSignIn))
	s, ok := f.signIn(a)
	if ok {
		a.access = s.access
	}
	return a, s, ok
}

func (a *account) credentials() object { return object{"email": a.email, "password": a.password} }

func (a *account) canSignIn(c *client) error {
	if got := c.call(http.MethodPost, "/auth/login", "", a.credentials()); !got.is(http.StatusOK) {
		return &unexpected{"sign-in of " + a.email, got}
	}
	return nil
}

func (a *account) cannotSignIn(c *client) error {
	if got := c.call(http.MethodPost, "/auth/login", "", a.credentials()); !got.is(http.StatusUnauthorized) {
		return &unexpected{"sign-in of the erased account " + a.email, got}
	}
	return nil
}

// writer does one kind of work until the field stops. step reports whether it
// was acknowledged.
type writer struct {
	name string
	step func() bool
}

// run takes steps. After one that was not acknowledged it waits a little, for a
// server without its engine refuses quickly.
func (w writer) run(f *field) {
	for f.going.Load() {
		if !w.step() {
			if f.dying.Load() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// chance reports true once in n times.
func chance(n int) bool { return rand.IntN(n) == 0 }

func noCheck(*client) error { return nil }
