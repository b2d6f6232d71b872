package speech

import (
	"context"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

const (
	// codeInterrupted is the failure of a conversion whose server did not live to
	// finish it.
	codeInterrupted = "interrupted"
	// takeOverTime bounds the settling of one conversion of another server. It is
	// shorter than a server takes to be believed dead, so that two never write
	// for one conversion.
	takeOverTime = 30 * time.Second
	// reinstateTime bounds how long a request waits for the settling of its own
	// conversion by another server, and then puts its outcome in place.
	reinstateTime = takeOverTime + storeTime
	// overdue is when no request is under way any more, whoever has it and
	// however much the clocks of two machines differ.
	overdue = 30 * time.Minute
)

func (s *service) atWork(id string) bool {
	_, yes := s.inFlight.Load(id)
	return yes
}

// abandoned reports whether nobody is at work on an unfinished conversion that
// belongs to instance, given the instances that live.
func (s *service) abandoned(id, instance string, living map[string]bool) bool {
	if s.atWork(id) {
		return false
	}
	at, _ := uid.Time(id)
	return instance == s.instance || !living[instance] || s.now().Sub(at) > overdue
}

// takeOver makes an abandoned conversion this server's and finishes it. That another
// did is a Conflict fault, that it was deleted a NotFound fault.
func (s *service) takeOver(ctx context.Context, c Conversion) error {
	if _, busy := s.inFlight.LoadOrStore(c.ID, true); busy {
		return fault.New(fault.Conflict, "conversion_claimed", "This conversion is being settled.")
	}
	defer s.inFlight.Delete(c.ID)
	ctx, cancel := context.WithTimeout(ctx, takeOverTime)
	defer cancel()
	if err := s.repository.Claim(ctx, c, s.instance); err != nil {
		return err
	}
	from := c.Instance
	c.Instance = s.instance
	err := s.reconcile(ctx, c)
	if fault.Is(err, fault.NotFound) {
		return s.deletedMeanwhile(ctx, c)
	}
	if err != nil { // whoever comes next need not wait for this server
		giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		_ = s.repository.Claim(giving, c, from) // if not, it is overdue one day
	}
	return err
}

// reinstate lets a request that ended after all, though others took it for
// interrupted, put its true outcome in place with again: record and row then
// agree. Who took the conversion over writes its row last, so nothing of theirs
// comes later.
func (s *service) reinstate(ctx context.Context, c Conversion, again func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reinstateTime)
	defer cancel()
	for {
		found, err := s.repository.Find(ctx, c.ID)
		if err != nil {
			return err
		}
		if found.Status == StatusProcessing && found.Instance == s.instance {
			break // it was given back
		}
		if found.Status != StatusProcessing {
			err = s.repository.Claim(ctx, found, s.instance)
			if err == nil {
				break
			}
			if !fault.Is(err, fault.Conflict) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := s.ledger.Unlist(ctx, c.UserID, c.ID); err != nil { // both may have listed it
		return err
	}
	return again(ctx)
}
