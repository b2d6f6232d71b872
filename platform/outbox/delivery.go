package outbox

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"
)

// runDelivery gives batches to the receiver until the outbox is closed and
// either empty or refused.
func (o *Outbox) runDelivery() {
	defer o.kill() // ends the syncer
	failures := 0
	for {
		s, closed := o.next()
		switch {
		case s == nil && closed:
			return
		case s == nil:
			select {
			case <-o.wake:
			case <-o.life.Done():
				return
			}
			continue
		}
		if o.send(s) {
			failures = 0
			continue
		}
		failures++
		if closed || !o.pause(failures) {
			return
		}
	}
}

// next returns the segment to deliver, or nil when nothing is due.
func (o *Outbox) next() (_ *segment, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.due() {
		o.seal()
	}
	if len(o.sealed) == 0 {
		o.urgent = false
		return nil, o.closed
	}
	return o.sealed[0], o.closed
}

// due reports whether the active segment is to be delivered although it is not
// full. While others wait it grows, unless they were all refused: they could be
// what is wrong.
func (o *Outbox) due() bool {
	if o.active == nil || len(o.sealed) > maxRefused {
		return false
	}
	for _, s := range o.sealed {
		if s.attempt == 0 {
			return false
		}
	}
	return o.urgent || o.closed || time.Since(o.active.began) >= o.config.Wait
}

// send makes one attempt to deliver a segment. One that is refused goes to the
// end of the queue, so that it does not hold up the others.
func (o *Outbox) send(s *segment) (done bool) {
	records, err := o.load(s)
	if err == nil && len(records) > 0 {
		s.attempt++
		if s.attempt == 1 {
			s.since = time.Now()
		}
		err = o.deliver(o.life, Batch{Records: records, Attempt: s.attempt, Again: s.found || s.attempt > 1, Since: s.since})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.stats.Failures++
		first := slices.Index(o.sealed, s)
		o.sealed = append(slices.Delete(o.sealed, first, first+1), s)
		return false
	}
	o.stats.Delivered += int64(s.records)
	o.remove(s)
	return true
}

// load reads the records of a segment. Lines that are none are counted at the
// first time, and a file that is gone has no records.
func (o *Outbox) load(s *segment) ([][]byte, error) {
	records, damaged, err := s.load()
	gone := errors.Is(err, fs.ErrNotExist) && exists(o.config.Dir)
	if err != nil && !gone {
		o.logger.Warn("a file of the outbox cannot be read, trying again", "path", s.path, "cause", reason(err).Error())
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if missing := int64(s.records - len(records) - damaged); missing > 0 {
		o.lose(missing, fs.ErrNotExist)
	}
	if damaged > 0 && !s.read {
		o.stats.Damaged += int64(damaged)
		o.logger.Warn("damaged records of the outbox are passed over", "path", s.path, "damaged", damaged, "whole", len(records))
	}
	o.stats.Records += int64(len(records) - s.records)
	s.records, s.read = len(records), true
	return records, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (o *Outbox) remove(s *segment) {
	s.discard()
	o.sealed = slices.DeleteFunc(o.sealed, func(other *segment) bool { return other == s })
	o.stats.Records -= int64(s.records)
	o.stats.Bytes -= s.bytes
	if s.path == "" {
		o.memory -= s.bytes
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

// pause waits longer after each failure, and returns false when the outbox is
// closed meanwhile.
func (o *Outbox) pause(failures int) bool {
	wait := time.NewTimer(min(firstPause<<min(failures-1, 10), lastPause))
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
			return true
		case <-o.life.Done():
			return false
		case <-o.wake: // also when somebody flushes: that is no reason to hurry a store that is away
			if o.isClosed() {
				return true // one last attempt
			}
		}
	}
}

func (o *Outbox) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// runSync writes to the disk what has waited for Config.Wait, and lets the
// deliverer look at it.
func (o *Outbox) runSync() {
	for {
		select {
		case <-o.dirty:
		case <-o.life.Done():
			return
		}
		timer := time.NewTimer(o.config.Wait)
		select {
		case <-timer.C:
		case <-o.life.Done():
			timer.Stop()
			return
		}
		signal(o.wake)
		o.sync()
	}
}

// sync writes what is in files to the disk, and closes those that take no more.
func (o *Outbox) sync() {
	active, list, newNames := o.unsynced()
	for _, s := range list {
		err := s.file.Sync()
		if s != active {
			err = errors.Join(err, s.file.Close())
		}
		if err != nil && !errors.Is(err, os.ErrClosed) { // closed: it was delivered meanwhile
			o.logger.Warn("a file of the outbox cannot be written to the disk; a power cut could lose its records", "path", s.path, "cause", reason(err).Error())
		}
	}
	if !newNames {
		return
	}
	if err := syncDir(o.config.Dir); err != nil {
		o.logger.Warn("the outbox cannot be written to the disk; a power cut could lose its records", "path", o.config.Dir, "cause", reason(err).Error())
	}
}

// unsynced returns the segments to write to the disk, as if that were done, and
// whether there are new names among them.
func (o *Outbox) unsynced() (active *segment, list []*segment, newNames bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.live() {
		if s.file != nil && !s.shut && (!s.clean || s != o.active) {
			newNames = newNames || !s.named
			s.named = true
			s.shut = s != o.active
			list = append(list, s)
		}
		s.clean = true
	}
	return o.active, list, newNames
}
