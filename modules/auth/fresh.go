package auth

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// freshFor is how long what was read about a session, key or account may be
	// used: the longest time a revocation by another process goes unnoticed when
	// its announcement is lost.
	freshFor = 5 * time.Second
	// freshEntries bounds the memory of each such cache.
	freshEntries = 8192
)

// freshCache remembers values for freshFor. A value read from storage before
// something was dropped is never stored after it, so that a revocation in this
// process takes effect at once. It is safe for concurrent use.
type freshCache[K comparable, V any] struct {
	mu      sync.Mutex
	entries *lru.Cache[K, freshEntry[V]]
	epoch   uint64 // counts drops
	now     func() time.Time
}

type freshEntry[V any] struct {
	value  V
	readAt time.Time
}

func newFreshCache[K comparable, V any](now func() time.Time) *freshCache[K, V] {
	entries, err := lru.New[K, freshEntry[V]](freshEntries)
	if err != nil { // only for a size below one
		panic(err)
	}
	return &freshCache[K, V]{entries: entries, now: now}
}

// find returns the value of key, from read unless it is known and fresh.
func (c *freshCache[K, V]) find(key K, read func() (V, error)) (V, error) {
	now := c.now()
	c.mu.Lock()
	entry, ok := c.entries.Get(key)
	epoch := c.epoch
	c.mu.Unlock()
	if age := now.Sub(entry.readAt); ok && age >= 0 && age < freshFor {
		return entry.value, nil
	}
	value, err := read()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch {
		c.entries.Add(key, freshEntry[V]{value: value, readAt: now})
	}
	return value, nil
}

// drop forgets every value that matches.
func (c *freshCache[K, V]) drop(matches func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for _, key := range c.entries.Keys() {
		if entry, ok := c.entries.Peek(key); ok && matches(key, entry.value) {
			c.entries.Remove(key)
		}
	}
}

// dropKey forgets the value of one key.
func (c *freshCache[K, V]) dropKey(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.entries.Remove(key)
}

// update alters the value of one key if it is known, without making it fresher.
func (c *freshCache[K, V]) update(key K, alter func(V) V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry, ok := c.entries.Peek(key); ok {
		c.entries.Add(key, freshEntry[V]{value: alter(entry.value), readAt: entry.readAt})
	}
}
