package chat

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"llmhist/platform/database"
)

// openingPause is how long an exchange may be under way before it is stored
// without its answer.
const openingPause = 20 * time.Millisecond

const (
	// settleSoon is how long who reads waits for what is under way to be stored.
	settleSoon = time.Second
	// settleWhole is as long as that can take: for those who remove.
	settleWhole = storeDeadline
)

// opening is an exchange until it is stored. On a store that takes it whole the
// question of an answer that comes at once is written together with that, in one
// commit; any other is stored while its provider is at work, which is stopped when
// that fails. It ends with finish or abandon.
type opening struct {
	repository repository
	userID     int64
	sessionID  string
	begin      exchangeStart // until it is stored
	among      *openings     // nil = it was stored at once
	ctx        context.Context
	stop       context.CancelCauseFunc // tells the provider
	timer      *time.Timer             // who stops it stores the exchange
	stored     chan struct{}
	err        error // of storing it; after stored is closed
}

// start stores the exchange, or sees to it, and returns the context with which its
// provider is to be asked. now says that it has to be stored when start returns.
func (a *answering) start(ctx context.Context, begin exchangeStart, now bool) (context.Context, error) {
	o := &opening{repository: a.service.repository, userID: begin.Session.UserID, sessionID: begin.Session.ID}
	a.opening = o
	if now || !o.repository.TakesWhole() {
		return ctx, o.repository.BeginExchange(ctx, begin)
	}
	o.ctx, o.stop = context.WithCancelCause(ctx)
	o.begin, o.among, o.stored = begin, &a.service.openings, make(chan struct{})
	o.among.add(o)
	return o.ctx, nil
}

// store stores the exchange as it is, also when its request is over. Its provider is
// at work meanwhile, so that it may take as long as an outcome.
func (o *opening) store() {
	ctx, cancel := context.WithTimeout(database.AllowQueue(context.WithoutCancel(o.ctx), finishQueue), storeDeadline)
	defer cancel()
	if err := o.storeWith(ctx); err != nil {
		o.stop(err)
	}
}

func (o *opening) storeWith(ctx context.Context) (err error) {
	defer func() {
		if broken := recover(); broken != nil { // a bug is no end of the server, on this goroutine neither
			err = fmt.Errorf("storing an exchange panicked: %v\n%s", broken, debug.Stack())
		}
		o.err, o.begin = err, exchangeStart{}
		o.among.remove(o)
		close(o.stored)
	}()
	return o.repository.BeginExchange(ctx, o.begin)
}

// lost returns why the exchange could not be stored, if that is known.
func (o *opening) lost() error {
	if o.among == nil {
		return nil
	}
	select {
	case <-o.stored:
		return o.err
	default:
		return nil
	}
}

// finish stores the outcome, with the exchange if that is not stored yet, also when
// the request is over.
func (o *opening) finish(ctx context.Context, answer message) error {
	first := o.among != nil && o.timer.Stop()
	if o.among != nil && !first {
		<-o.stored
		if o.err != nil {
			return o.err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeDeadline)
	defer cancel()
	if first {
		o.begin.Answer = answer
		return o.storeWith(ctx)
	}
	return o.repository.FinishAnswer(ctx, answer)
}

// abandon ends it. What nobody finished is stored as it is: its outcome is not known.
func (o *opening) abandon() {
	if o == nil || o.among == nil {
		return
	}
	o.settle(context.Background())
	o.stop(nil)
}

// settle returns when the exchange is stored or could not be, or when ctx ends.
func (o *opening) settle(ctx context.Context) {
	if o.timer.Stop() {
		go o.store() // whoever finishes or abandons it waits for that
	}
	select {
	case <-o.stored:
	case <-ctx.Done():
	}
}

// openings are the exchanges of this process that are not stored yet.
type openings struct {
	mu   sync.Mutex
	list map[*opening]struct{}
}

// add begins the time of an opening.
func (s *openings) add(o *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[*opening]struct{}{}
	}
	s.list[o] = struct{}{}
	o.timer = time.AfterFunc(openingPause, o.store)
}

func (s *openings) remove(o *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, o)
}

// settleUser has the exchanges of a user stored that are under way, so that they
// are found by what comes next, and waits for that as long as patience lasts.
func (s *openings) settleUser(ctx context.Context, userID int64, patience time.Duration) {
	s.settle(ctx, patience, func(o *opening) bool { return o.userID == userID })
}

// settleSession does so for those of one session.
func (s *openings) settleSession(ctx context.Context, sessionID string, patience time.Duration) {
	s.settle(ctx, patience, func(o *opening) bool { return o.sessionID == sessionID })
}

func (s *openings) settle(ctx context.Context, patience time.Duration, which func(o *opening) bool) {
	var list []*opening
	s.mu.Lock()
	for o := range s.list {
		if which(o) {
			list = append(list, o)
		}
	}
	s.mu.Unlock()
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, o := range list {
		o.settle(ctx)
	}
}
