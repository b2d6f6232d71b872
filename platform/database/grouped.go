package database

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"zombiezen.com/go/sqlite"
)

// Statements runs SQL in a transaction, with ? for each argument.
type Statements interface {
	// Exec runs one statement and returns how many rows it changed.
	Exec(query string, args ...any) (changed int64, err error)
	// Int returns the one number that a query finds. No row is one for IsNotFound.
	Int(query string, args ...any) (int64, error)
	// Rows returns how many rows an INSERT of many had better have at once: one where
	// statements stay compiled and there is no network, else many.
	Rows() int
}

// In returns the statements of a transaction of Write.
func In(tx *gorm.DB) Statements { return gormStatements{tx} }

// WriteGrouped is Write for the short acts of the busiest paths, which know what
// they want to say in SQL. On SQLite those that come at the same time are
// committed together, so that one wait for the disk serves all of them, and
// their statements are compiled once. Each succeeds or fails for itself. change
// can be called again after a call in vain, and on another goroutine than the
// caller's; it must only run statements. It runs to its end also when ctx ends
// meanwhile.
func (db *DB) WriteGrouped(ctx context.Context, change func(tx Statements) error) error {
	if db.group == nil {
		return db.Write(ctx, func(tx *gorm.DB) error { return change(gormStatements{tx}) })
	}
	bounded, cancel := db.bound(ctx)
	defer cancel()
	return db.outcome(bounded, db.group.write(bounded, change))
}

// Groups reports whether WriteGrouped commits together what comes at one time, and
// did so without trouble the last time.
func (db *DB) Groups() bool { return db.group != nil && !db.group.troubled.Load() }

type gormStatements struct{ tx *gorm.DB }

func (s gormStatements) Exec(query string, args ...any) (int64, error) {
	done := s.tx.Exec(query, args...)
	return done.RowsAffected, done.Error
}

// Rows keeps a statement under 600 parameters in most tables. SQLite takes 32,766
// and PostgreSQL 65,535, but the time SQLite's driver needs to bind them grows
// with the square of their number.
func (s gormStatements) Rows() int { return 32 }

func (s gormStatements) Int(query string, args ...any) (int64, error) {
	var list []int64
	if err := s.tx.Raw(query, args...).Scan(&list).Error; err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return 0, gorm.ErrRecordNotFound
	}
	return list[0], nil
}

// maxGroup is how many acts are committed together at most.
const maxGroup = 256

// group commits together what is to be written at the same time. Its goroutine
// begins with the first act and ends with close; so the deep stack that SQLite
// needs is there once, and not in each of many requests. Its connection is its
// own, for the driver below GORM keeps no compiled statements.
type group struct {
	path    string
	turn    chan struct{} // of the DB
	writers *sql.DB       // the pool of the other writers' one connection

	mu      sync.Mutex
	waiting []*act
	wake    chan struct{} // told that there are some; nil = not begun
	ended   chan struct{}
	closed  bool

	conn     *sqlite.Conn // of the goroutine; nil = not open
	troubled atomic.Bool  // SQLite failed the last time
}

// act is one change on its way.
type act struct {
	ctx      context.Context
	change   func(Statements) error
	taken    atomic.Bool // by who does the work, or back by the caller
	err      error
	panicked any
	done     chan struct{}
}

func (g *group) write(ctx context.Context, change func(Statements) error) error {
	a := &act{ctx: ctx, change: change, done: make(chan struct{})}
	if err := g.add(a); err != nil {
		return err
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		if a.taken.CompareAndSwap(false, true) {
			a.change, a.ctx = nil, nil // it is passed over when it is found among the waiting
			return ctx.Err()
		}
		<-a.done
	}
	return a.result()
}

func (g *group) add(a *act) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return sql.ErrConnDone
	}
	if g.wake == nil {
		g.wake, g.ended = make(chan struct{}, 1), make(chan struct{})
		go g.work()
	}
	g.waiting = append(g.waiting, a)
	select {
	case g.wake <- struct{}{}:
	default: // it was told already
	}
	return nil
}

// work does what waits, until close. Between two groups other writers have their
// turn. It holds the writers' own connection meanwhile, unused: the job queue
// writes through that and knows nothing of turns.
func (g *group) work() {
	defer close(g.ended)
	for range g.wake {
		for g.waits() > 0 {
			g.turn <- struct{}{}
			ctx, cancel := context.WithTimeout(context.Background(), sqlitePatience)
			writers, err := g.writers.Conn(ctx)
			cancel()
			g.run(g.take())
			if err == nil { // else the job queue has to wait for a moment between two groups
				_ = writers.Close()
			}
			<-g.turn
		}
	}
}

// waits returns how many acts there are to do.
func (g *group) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

func (a *act) result() error {
	if a.panicked != nil {
		panic(a.panicked)
	}
	return a.err
}

// take returns those that wait and have not given up.
func (g *group) take() []*act {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := []*act{}
	for i, a := range g.waiting {
		if len(list) == maxGroup {
			g.waiting = append([]*act{}, g.waiting[i:]...)
			return list
		}
		if a.taken.CompareAndSwap(false, true) {
			list = append(list, a)
		}
	}
	g.waiting = nil
	return list
}

// run does the acts and tells their callers. When one of several fails they are
// done again, each so that it can be undone for itself, and when that does not go
// either, each on its own.
func (g *group) run(list []*act) {
	if len(list) == 0 { // those who waited have given up
		return
	}
	list, err := g.begin(list)
	undone := false
	if err == nil && len(list) > 0 {
		undone, err = g.commit(list, (*act).perform)
	}
	if undone && len(list) > 1 {
		if list, err = g.begin(list); err == nil && len(list) > 0 {
			undone, err = g.commit(list, (*act).attempt)
		}
	}
	troubled := isTrouble(err)
	for _, a := range list {
		troubled = troubled || isTrouble(a.err)
	}
	g.troubled.Store(troubled)
	for _, a := range list {
		if undone && len(list) > 1 {
			g.run([]*act{a})
			continue
		}
		if err != nil {
			a.err = err
		}
		close(a.done)
	}
}

// isTrouble reports whether an error is SQLite's, and not of what an act says.
func isTrouble(err error) bool {
	var trouble liteError
	return errors.As(err, &trouble)
}

// busySlice is how long the lock of another process is waited for at a time.
const busySlice = 250 * time.Millisecond

// begin opens the transaction of the acts. While another process has the lock it
// sends those away whose time is over, and returns the others.
func (g *group) begin(list []*act) ([]*act, error) {
	if len(list) == 0 {
		return nil, nil
	}
	for _, a := range list {
		a.err, a.panicked = nil, nil // of an attempt before
	}
	if err := g.connect(); err != nil {
		return list, err
	}
	for {
		_, err := liteStatements{g.conn}.Exec("BEGIN IMMEDIATE")
		if !isBusy(err) {
			return list, err
		}
		left := list[:0]
		for _, a := range list {
			if a.err = a.ctx.Err(); a.err != nil {
				close(a.done)
				continue
			}
			left = append(left, a)
		}
		if list = left; len(list) == 0 {
			return nil, err
		}
	}
}

// commit does the acts in the transaction that was begun. undone says that nothing
// of any act is kept because of one that failed.
func (g *group) commit(list []*act, do func(*act, liteStatements) error) (undone bool, err error) {
	tx := liteStatements{g.conn}
	for _, a := range list {
		if a.err = a.ctx.Err(); a.err != nil {
			continue
		}
		if err := do(a, tx); err != nil {
			g.undo(tx)
			return true, err
		}
	}
	if _, err := tx.Exec("COMMIT"); err != nil {
		g.undo(tx)
		return false, err
	}
	return false, nil
}

// attempt does an act, and undoes what it did when it fails. The error says that
// the transaction cannot go on.
func (a *act) attempt(tx liteStatements) (grave error) {
	if _, err := tx.Exec("SAVEPOINT act"); err != nil {
		return err
	}
	err := a.perform(tx)
	if err != nil && tx.conn.AutocommitEnabled() { // SQLite undid everything
		return err
	}
	if err != nil {
		if _, undo := tx.Exec("ROLLBACK TO act"); undo != nil {
			return errors.Join(err, undo)
		}
	}
	_, err = tx.Exec("RELEASE act")
	return err
}

// perform does an act and keeps its error.
func (a *act) perform(tx liteStatements) (err error) {
	a.panicked = nil
	defer func() {
		if r := recover(); r != nil {
			a.panicked, err = r, errPanicked
		}
		a.err = err
	}()
	return a.change(tx)
}

var errPanicked = errors.New("the change panicked")

// undo leaves the connection without a transaction, or gives it up.
func (g *group) undo(tx Statements) {
	if g.conn.AutocommitEnabled() { // a grave error undoes it by itself
		return
	}
	if _, err := tx.Exec("ROLLBACK"); err != nil || !g.conn.AutocommitEnabled() {
		_ = g.conn.Close()
		g.conn = nil
	}
}

// connect opens the connection with the promises of sqliteDSN.
func (g *group) connect() error {
	if g.conn != nil {
		return nil
	}
	conn, err := sqlite.OpenConn(g.path, sqlite.OpenReadWrite)
	if err != nil {
		return liteFault(err)
	}
	conn.SetBusyTimeout(busySlice)
	for _, pragma := range sqlitePragmas {
		if err := runOnce(conn, "PRAGMA "+pragma); err != nil {
			_ = conn.Close()
			return err
		}
	}
	g.conn = conn
	return nil
}

func runOnce(conn *sqlite.Conn, query string) error {
	stmt, _, err := conn.PrepareTransient(query)
	if err != nil {
		return liteFault(err)
	}
	defer func() { _ = stmt.Finalize() }()
	_, err = stmt.Step()
	return liteFault(err)
}

// close waits for the acts that were begun or wait, and closes the connection.
func (g *group) close() error {
	g.mu.Lock()
	if g.wake != nil && !g.closed {
		close(g.wake)
	}
	g.closed = true
	g.mu.Unlock()
	if g.ended != nil {
		<-g.ended
	}
	if g.conn == nil {
		return nil
	}
	err := g.conn.Close()
	g.conn = nil
	return err
}
