package outbound

import (
	"net/url"
	"sync"
	"time"
)

const (
	// maxIdle is how many connections that nobody needs are kept.
	maxIdle = 64
	// idleTime is how long they are kept.
	idleTime = 90 * time.Second
)

// idleConnections are connections that wait for the next request.
type idleConnections struct {
	mu     sync.Mutex
	list   []*connection // the one that rests the shortest last
	sweep  *time.Timer   // set while there are any
	closed bool
}

// take returns the connection to the host of an address that was used last, or
// nil.
func (i *idleConnections) take(to *url.URL) *connection {
	i.mu.Lock()
	defer i.mu.Unlock()
	for at := len(i.list) - 1; at >= 0; at-- {
		c := i.list[at]
		if c.endpoint.host == to.Host && c.endpoint.scheme == to.Scheme {
			i.list = append(i.list[:at], i.list[at+1:]...)
			return c
		}
	}
	return nil
}

// keep lets a connection wait for the next request. The one that rests the
// longest makes room.
func (i *idleConnections) keep(c *connection) {
	c.restedAt = time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		c.end()
		return
	}
	if len(i.list) == maxIdle {
		i.list[0].end()
		i.list = append(i.list[:0], i.list[1:]...)
	}
	i.list = append(i.list, c)
	if i.sweep == nil {
		i.sweep = time.AfterFunc(idleTime, i.endOld)
	}
}

// endOld ends those that have rested for idleTime.
func (i *idleConnections) endOld() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sweep = nil
	old := 0
	for old < len(i.list) && time.Since(i.list[old].restedAt) >= idleTime {
		i.list[old].end()
		old++
	}
	i.list = append(i.list[:0], i.list[old:]...)
	if len(i.list) > 0 {
		i.sweep = time.AfterFunc(idleTime-time.Since(i.list[0].restedAt), i.endOld)
	}
}

// close ends all that wait, and lets none wait any more.
func (i *idleConnections) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	for _, c := range i.list {
		c.end()
	}
	i.list = nil
	if i.sweep != nil {
		i.sweep.Stop()
		i.sweep = nil
	}
}
