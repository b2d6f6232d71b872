package database

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"llmhist/platform/fault"
)

// patience bounds one Read or Write on PostgreSQL, waiting for a connection
// included, so that a request hears of a database that is down or hangs within
// 3 s. A file is not down: on SQLite, where many writers wait for one, it is
// sqlitePatience.
const patience = 2 * time.Second

// errPatience is why work ends that took longer than patience.
var errPatience = errors.New("the database did not answer in time")

// Search is what a search through every row is Allowed: a million images take
// SQLite 5 s.
const Search = 20 * time.Second

type longerKey struct{}

// Allow lets each Read and Write under the returned context take up to limit,
// for work that is slow by its nature, such as a search through every row. That
// the database answers at all is still found out with the usual patience.
func Allow(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, longerKey{}, limit)
}

type queueKey struct{}

// AllowQueue lets each Write under the returned context take up to limit on
// SQLite, where it may have to wait behind many others. It is for what must not be
// lost any more, such as the outcome of a long request.
func AllowQueue(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, queueKey{}, limit)
}

type beganKey struct{}

// bound gives work its deadline. It remembers when the work began.
func (db *DB) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := sqlitePatience
	if db.dialect == Postgres {
		limit = db.memory.Patience(patience)
	}
	if longer, ok := ctx.Value(longerKey{}).(time.Duration); ok {
		limit = max(limit, longer)
	}
	if queue, ok := ctx.Value(queueKey{}).(time.Duration); ok && db.dialect == SQLite {
		limit = max(limit, queue)
	}
	ctx = context.WithValue(ctx, beganKey{}, time.Now())
	return context.WithTimeoutCause(ctx, limit, errPatience)
}

// asked makes sure that a server that may take long answers at all.
func (db *DB) asked(ctx context.Context) error {
	if _, long := ctx.Value(longerKey{}).(time.Duration); !long || db.dialect != Postgres {
		return nil
	}
	bounded, cancel := db.bound(context.WithValue(ctx, longerKey{}, nil))
	defer cancel()
	return db.outcome(bounded, pool(db.read).PingContext(bounded))
}

// outcome learns from how work under a context of bound went, and says in the
// place of its error when it was given up for want of patience.
func (db *DB) outcome(ctx context.Context, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		db.memory.Answered()
	case errors.As(err, &known): // of the caller, or from here
	case ended(err) && errors.Is(context.Cause(ctx), errPatience), timedOut(err) && ctx.Err() == nil: // connecting has a time of its own
		db.silent(ctx)
		return fault.Wrap(errPatience, fault.Unavailable, codeUnavailable, detailUnavailable)
	case lostConnection(err):
		db.distrust()
	case !ended(err):
		db.memory.Answered()
	}
	return err
}

// silent notes that the database did not answer. Connections from before are
// then as good as dead: the other end may be gone without a word.
func (db *DB) silent(ctx context.Context) {
	if since, ok := ctx.Value(beganKey{}).(time.Time); ok && db.memory.Silent(since) {
		db.distrust()
	}
}

// distrust keeps the connections there are from being used again.
func (db *DB) distrust() { db.distrusted.Store(time.Now().UnixNano()) }

// ended reports whether an error may be what a driver makes of a context that
// ended.
func ended(err error) bool { return timedOut(err) || errors.Is(err, context.Canceled) || wasEnded(err) }

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) }

// lostConnection reports that a connection broke, so that others from the same
// time are probably broken too.
func lostConnection(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return ofClass(answer, "57") && answer.Code != "57014" // the server stops or starts
	}
	return !ended(err) && unreachable(err) && !errors.Is(err, sql.ErrConnDone)
}

// explain is called after each statement.
func (db *DB) explain(tx *gorm.DB) { tx.Error = db.outcome(tx.Statement.Context, tx.Error) }

// watch puts explain behind every kind of statement.
func (db *DB) watch(g *gorm.DB) error {
	const name = "llmhist:outcome"
	callbacks := g.Callback()
	return errors.Join(
		callbacks.Create().Register(name, db.explain), callbacks.Query().Register(name, db.explain),
		callbacks.Update().Register(name, db.explain), callbacks.Delete().Register(name, db.explain),
		callbacks.Row().Register(name, db.explain), callbacks.Raw().Register(name, db.explain),
	)
}
