package crash

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// EngineCycle lets the writers work, kills an engine under them, starts it again
// while they go on, and looks at what was acknowledged before, during and after,
// without another start of the server. It returns how long the server took to be
// ready again.
func (r *Run) EngineCycle(engine *Engine) (time.Duration, error) {
	r.cycles++
	r.moments[engine.Name+" killed"]++
	r.slowest = 0
	before := len(r.Violations())
	wait := r.load()
	r.untilAMoment()
	r.field.away()
	r.field.settle.Store(false) // what was broken off is finished by the next start
	if err := engine.Kill(); err != nil {
		return 0, fmt.Errorf("kill %s: %w", engine.Name, err)
	}
	time.Sleep(rand.N(600 * time.Millisecond)) // requests meanwhile
	if err := engine.Start(); err != nil {
		return 0, fmt.Errorf("start %s again: %w", engine.Name, err)
	}
	took, err := r.client().ready(readyTime)
	if err != nil {
		r.violate("after %s was killed and started: %v", engine.Name, err)
	}
	r.field.back(time.Now().Add(recoveryTime))
	time.Sleep(300 * time.Millisecond) // requests afterwards
	r.field.going.Store(false)
	wait()
	if r.process.Ended() {
		return 0, fmt.Errorf("the server ended when %s was killed:\n%s", engine.Name, r.process.Log())
	}
	if r.slowest > SlowestAnswer {
		r.violate("while %s was away %s took %s", engine.Name, r.slowestAt, r.slowest)
	}
	list := r.field.book.newest(newestFacts)
	r.verified += len(list)
	hold(r.client(), list, r.violate)
	r.explain(before)
	r.options.Log("cycle %d: %s was away, ready again %s after it was back; the slowest answer took %s (%s)",
		r.cycles, engine.Name, took.Round(time.Millisecond), r.slowest.Round(time.Millisecond), r.slowestAt)
	return took, nil
}

// explain shows the end of the server's log when there are more violations than
// before.
func (r *Run) explain(before int) {
	if len(r.Violations()) > before {
		r.options.Log("the server's log ends with:\n%s", r.process.Log())
	}
}

// RestartAndLook starts the server anew and verifies everything: one start is
// enough to settle what an engine's end broke off.
func (r *Run) RestartAndLook() error {
	r.field.dying.Store(true)
	if err := r.process.Stop(stopTime); err != nil {
		r.violate("%v", err)
	}
	r.field.back(time.Now())
	if err := r.start(); err != nil {
		return err
	}
	r.lookAtAll()
	return nil
}

// KillTogether kills an engine and the server at the same moment under load,
// starts both and looks at what was acknowledged.
func (r *Run) KillTogether(engine *Engine) error {
	r.cycles++
	r.moments["together with "+engine.Name]++
	wait := r.load()
	r.untilAMoment()
	r.field.away()
	r.field.dying.Store(true)
	killed := make(chan error, 1)
	go func() { killed <- engine.Kill() }()
	time.Sleep(rand.N(30 * time.Millisecond))
	r.process.Kill()
	r.field.going.Store(false)
	wait()
	if err := <-killed; err != nil {
		return fmt.Errorf("kill %s: %w", engine.Name, err)
	}
	if err := engine.Start(); err != nil {
		return fmt.Errorf("start %s again: %w", engine.Name, err)
	}
	r.field.back(time.Now())
	if err := r.start(); err != nil {
		return err
	}
	r.look()
	return nil
}
