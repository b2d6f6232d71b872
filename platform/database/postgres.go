package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
)

const (
	// postgresConnect bounds one attempt to connect, over all addresses.
	postgresConnect = 1750 * time.Millisecond
	// postgresPool is the most connections. Further work waits for one, as long
	// as patience allows.
	postgresPool = 16
	// postgresUnanswered is how long what was sent may stay unacknowledged, where
	// the system can bound that. A connection whose other end is gone without a
	// word would otherwise keep whoever has no deadline for a quarter of an hour.
	postgresUnanswered = 10 * time.Second
	// postgresMessage bounds one message of the server, such as a row. What is
	// no PostgreSQL server may announce gigabytes.
	postgresMessage = 64 << 20
)

// OpenPostgres opens the PostgreSQL database that dsn names, a URL or a
// key=value string. The error is one line that names the setting and holds no
// password, and comes within the time of ctx.
func OpenPostgres(ctx context.Context, dsn string, logger *slog.Logger) (*DB, error) {
	refused := func(err error) error {
		return errors.New("cannot connect to PostgreSQL (DATABASE_URL or DATABASE_HOST): " + redactDSN(err, dsn))
	}
	settings, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, refused(err)
	}
	settings.DialFunc = (&net.Dialer{Timeout: postgresConnect, Control: boundUnanswered, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}).DialContext
	settings.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frontend := pgproto3.NewFrontend(r, w)
		frontend.SetMaxBodyLen(postgresMessage)
		return frontend
	}
	db := &DB{dialect: Postgres}
	handle := sql.OpenDB(db.connector(settings))
	handle.SetMaxOpenConns(postgresPool)
	handle.SetMaxIdleConns(postgresPool)
	handle.SetConnMaxIdleTime(5 * time.Minute)
	both, err := openGORM(postgres.New(postgres.Config{Conn: handle}), logger)
	if err != nil {
		_ = handle.Close()
		return nil, refused(err)
	}
	db.write, db.read = both, both
	if err := errors.Join(db.watch(both), db.Ping(ctx)); err != nil {
		_ = db.Close()
		return nil, refused(err)
	}
	return db, nil
}

// connector makes connections in a bounded time and keeps those from being
// used that are distrusted.
func (db *DB) connector(settings *pgx.ConnConfig) driver.Connector {
	const madeAt = "llmhist.made_at"
	trusted := func(connection *pgconn.PgConn) bool {
		made, _ := connection.CustomData()[madeAt].(int64)
		return made > db.distrusted.Load()
	}
	return boundedConnector{stdlib.GetConnector(*settings,
		stdlib.OptionAfterConnect(func(ctx context.Context, connection *pgx.Conn) error {
			connection.PgConn().CustomData()[madeAt] = time.Now().UnixNano()
			return preferOneProcess(ctx, connection)
		}),
		stdlib.OptionShouldPing(func(_ context.Context, p stdlib.ShouldPingParams) bool {
			return p.IdleDuration > time.Second && trusted(p.Conn.PgConn())
		}),
		stdlib.OptionResetSession(func(_ context.Context, connection *pgx.Conn) error {
			if !trusted(connection.PgConn()) {
				return driver.ErrBadConn
			}
			return nil
		}),
	)}
}

// preferOneProcess keeps the server from starting further processes for a query
// that it believes to be a little long: starting them takes 100 ms, and questions
// to the sums of usage, of which it believes that since it knows the columns one
// by one, take 10. A search through a table of a million rows still gets them.
// It is no startup parameter, for poolers between refuse those they do not know.
func preferOneProcess(ctx context.Context, connection *pgx.Conn) error {
	_, err := connection.Exec(ctx, "SET parallel_setup_cost = 20000", pgx.QueryExecModeSimpleProtocol)
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		return nil // a server that has no such setting
	}
	return err
}

// boundedConnector connects within postgresConnect also when nobody waits for
// it: the pool connects on behalf of whoever is next.
type boundedConnector struct{ driver.Connector }

// Connect opens a connection.
func (c boundedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresConnect)
	defer cancel()
	return c.Connector.Connect(ctx)
}
