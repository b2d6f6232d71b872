package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	gosqlite "github.com/glebarez/go-sqlite"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"gorm.io/gorm"

	"llmhist/platform/fault"
)

// SQLite primary result codes (https://sqlite.org/rescode.html).
const (
	sqliteBusy      = 5
	sqliteLocked    = 6
	sqliteReadOnly  = 8
	sqliteInterrupt = 9
	sqliteIOErr     = 10
	sqliteCorrupt   = 11
	sqliteFull      = 13
	sqliteCantOpen  = 14
	sqliteNotADB    = 26
)

const (
	codeUnavailable   = "database_unavailable"
	detailUnavailable = "The database does not answer right now. Try again shortly."
)

// Fault gives a driver's error its kind. Not-found and duplicate errors are the
// repository's to translate first, because only it knows the noun; a cancelled
// context passes through unchanged.
func Fault(err error) error {
	var known *fault.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &known):
		return err
	}
	switch {
	case wasEnded(err):
		return fault.Wrap(err, fault.Cancelled, "cancelled", "The request ended before the database had answered.")
	case outOfSpace(err):
		return fault.Wrap(err, fault.OutOfSpace, "storage_full", "The database has no space left. Free some disk space and try again.")
	case unreachable(err):
		return fault.Wrap(err, fault.Unavailable, codeUnavailable, detailUnavailable)
	default:
		return fault.Wrap(err, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
	}
}

// IsNotFound reports whether a query found no row or document.
func IsNotFound(err error) bool {
	return errors.Is(err, gorm.ErrRecordNotFound) || errors.Is(err, sql.ErrNoRows) || errors.Is(err, mongo.ErrNoDocuments)
}

// IsDuplicate reports whether a write broke a unique index or a primary key.
func IsDuplicate(err error) bool {
	return errors.Is(err, gorm.ErrDuplicatedKey) || mongo.IsDuplicateKeyError(err)
}

// wasEnded reports what the engines say of work whose context ended under it.
func wasEnded(err error) bool {
	if code, ok := sqliteCode(err); ok {
		return code == sqliteInterrupt
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57014" // query_canceled
	}
	return errors.Is(err, sql.ErrTxDone)
}

func outOfSpace(err error) bool {
	if code, ok := sqliteCode(err); ok {
		return code == sqliteFull
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "53100" // disk_full
}

func unreachable(err error) bool {
	if code, ok := sqliteCode(err); ok {
		switch code {
		case sqliteBusy, sqliteLocked, sqliteIOErr, sqliteReadOnly, sqliteCantOpen:
			return true
		}
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return ofClass(pg, "08", "40", "53", "57") // connection, conflict of transactions, resources, operator intervention
	}
	var connect *pgconn.ConnectError
	var network net.Error
	var garbage *pgproto3.ExceededMaxBodyLenErr
	return errors.As(err, &connect) || errors.As(err, &network) || errors.As(err, &garbage) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err) // the server closed the connection, now or before
}

// ofClass reports whether a server's answer has a code of one of the classes,
// which are its first two characters. What is no PostgreSQL server may send none.
func ofClass(answer *pgconn.PgError, classes ...string) bool {
	return slices.ContainsFunc(classes, func(class string) bool { return strings.HasPrefix(answer.Code, class) })
}

// redactDSN returns the error text without any secret of the DSN in it.
func redactDSN(err error, dsn string) string {
	text := err.Error()
	config, parseErr := pgconn.ParseConfig(dsn)
	if parseErr != nil {
		return "the connection string cannot be parsed"
	}
	if config.Password != "" {
		text = strings.ReplaceAll(text, config.Password, "***")
	}
	return strings.ReplaceAll(text, dsn, "***")
}

// isBusy reports whether another connection held a lock of the SQLite file.
func isBusy(err error) bool {
	code, ok := sqliteCode(err)
	return ok && code == sqliteBusy
}

// isUnreadable reports whether a file holds something else than an SQLite
// database that is whole.
func isUnreadable(err error) bool {
	code, ok := sqliteCode(err)
	return ok && (code == sqliteNotADB || code == sqliteCorrupt)
}

// sqliteCode returns the primary result code of an error of SQLite.
func sqliteCode(err error) (int, bool) {
	var lite *gosqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() & 0xff, true
	}
	var grouped liteError
	if errors.As(err, &grouped) {
		return grouped.Code() & 0xff, true
	}
	return 0, false
}
