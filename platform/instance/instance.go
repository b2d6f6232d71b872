// Package instance lets the servers that share a database know of each other.
// Each has a row that it refreshes while it lives: a lease, by the clock of the
// database. From the rows follows whose unfinished work has no owner any more,
// and whether all are configured so that they can be one.
package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"llmhist/platform/database"
	"llmhist/platform/uid"
)

const (
	// Lease is how long a server counts as living after its last sign of life.
	Lease = time.Minute
	// beatEvery is how often a server gives one. Several may fail.
	beatEvery = 10 * time.Second
	// beatTimeout bounds one.
	beatTimeout = 5 * time.Second
	// forgetAfter is when the row of a server that never came back is removed.
	forgetAfter = 24 * time.Hour
)

// Self describes the server that joins.
type Self struct {
	Home        string   // id of its data directory, which only one server uses at a time
	Host        string   // for people
	Version     string   // for people
	KeyID       string   // of the key its tokens are signed with
	TrustedKeys []string // ids of the keys whose tokens it accepts
	Stores      []Store  // what the servers must share besides the database
}

// Instance is this server among those of the database.
type Instance struct {
	id     string
	self   Self
	table  table
	logger *slog.Logger
	lease  time.Duration
	every  time.Duration

	mu          sync.Mutex
	steadySince time.Time // since when no sign of life was overdue
	lastBeat    time.Time

	stop context.CancelFunc
	done chan struct{}
}

// Join makes this server known and begins to give signs of life, until Leave.
// What an earlier run from the same data directory left is dead from then on:
// who calls holds the lock of that directory. It fails in one line that names
// the setting when a living server of the database is configured so that the two
// cannot be one.
func Join(ctx context.Context, db *database.DB, self Self, logger *slog.Logger) (*Instance, error) {
	return join(ctx, &Instance{
		id: uid.New(uid.Now()), self: self, table: table{db}, logger: logger, lease: Lease, every: beatEvery,
	})
}

func join(ctx context.Context, i *Instance) (*Instance, error) {
	if err := i.table.create(ctx, i.id, i.self); err != nil {
		return nil, fmt.Errorf("join the servers of this database: %w", err)
	}
	i.steadySince = time.Now()
	i.lastBeat = i.steadySince
	if err := i.checkOthers(ctx); err != nil { // after the row is there: of two that start at once, one sees the other
		return nil, errors.Join(err, i.table.delete(context.WithoutCancel(ctx), i.id))
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	i.stop, i.done = stop, make(chan struct{})
	go i.keepBeating(beating)
	return i, nil
}

// ID names this run of the server in what it works on.
func (i *Instance) ID() string { return i.id }

// Living returns the ids of the servers that live, this one included. Ask after
// reading what they may own: a server joins before it owns anything. One whose
// own signs of life were interrupted less than a lease ago, or that has only
// begun, takes all it knows for living, because the database may have been away
// from the others too.
func (i *Instance) Living(ctx context.Context) (map[string]bool, error) {
	rows, err := i.table.list(ctx)
	if err != nil {
		return nil, err
	}
	judging := i.steady()
	living := map[string]bool{i.id: true}
	for _, row := range rows {
		if !judging || row.age() < i.lease {
			living[row.ID] = true
		}
	}
	return living, nil
}

// steady reports whether this server's signs of life came through for at least
// a lease, so that others' could have too.
func (i *Instance) steady() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Since(i.lastBeat) < i.lease && time.Since(i.steadySince) >= i.lease
}

// Leave ends the signs of life and removes the row.
func (i *Instance) Leave(ctx context.Context) error {
	i.stop()
	<-i.done
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if err := i.table.delete(ctx, i.id); err != nil {
		i.logger.WarnContext(ctx, "this server is not signed off in the database; it counts as living for another minute", "cause", err)
	}
	return nil
}

// keepBeating gives signs of life until ctx ends. A file has no second server
// that would look for them.
func (i *Instance) keepBeating(ctx context.Context) {
	defer close(i.done)
	if i.table.alone() {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(i.every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := i.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			i.logger.WarnContext(ctx, "no sign of life reached the database; after a minute the other servers take this one for dead", "cause", err)
		case err == nil && failing:
			i.logger.InfoContext(ctx, "signs of life reach the database again")
		}
		failing = err != nil
	}
}

func (i *Instance) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	known, err := i.table.touch(ctx, i.id)
	if err == nil && !known {
		i.logger.ErrorContext(ctx, "the database had forgotten this server: does another one use a copy of its data directory? Each needs its own DATA_DIR, without a copied home.id")
		err = i.table.insert(ctx, i.id, i.self)
	}
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.lastBeat) > i.lease/2 {
		i.steadySince = time.Now()
	}
	i.lastBeat = time.Now()
	return nil
}
