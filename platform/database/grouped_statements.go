package database

import (
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"zombiezen.com/go/sqlite"
)

// liteStatements runs Statements on the connection of a group, which keeps each
// one compiled.
type liteStatements struct{ conn *sqlite.Conn }

func (s liteStatements) Exec(query string, args ...any) (int64, error) {
	stmt, err := s.bound(query, args)
	if err != nil {
		return 0, err
	}
	for {
		row, err := stmt.Step()
		if err != nil {
			return 0, liteFault(err)
		}
		if !row {
			return int64(s.conn.Changes()), nil
		}
	}
}

func (s liteStatements) Rows() int { return 1 }

func (s liteStatements) Int(query string, args ...any) (int64, error) {
	stmt, err := s.bound(query, args)
	if err != nil {
		return 0, err
	}
	row, err := stmt.Step()
	if err != nil {
		return 0, liteFault(err)
	}
	if !row {
		return 0, gorm.ErrRecordNotFound
	}
	number := stmt.ColumnInt64(0)
	return number, liteFault(stmt.Reset())
}

// liteTime is how the driver below GORM writes times.
const liteTime = "2006-01-02 15:04:05.999999999-07:00"

func (s liteStatements) bound(query string, args []any) (*sqlite.Stmt, error) {
	stmt, err := s.conn.Prepare(query)
	if err != nil {
		return nil, liteFault(err)
	}
	for i, arg := range args {
		at := i + 1
		switch value := arg.(type) {
		case nil:
			stmt.BindNull(at)
		case string:
			stmt.BindText(at, value)
		case int64:
			stmt.BindInt64(at, value)
		case int:
			stmt.BindInt64(at, int64(value))
		case *int64:
			if value == nil {
				stmt.BindNull(at)
			} else {
				stmt.BindInt64(at, *value)
			}
		case bool:
			stmt.BindBool(at, value)
		case time.Time:
			stmt.BindText(at, value.Format(liteTime))
		default:
			return nil, fmt.Errorf("an argument of type %T", arg)
		}
	}
	return stmt, nil
}

// liteError is an error of SQLite that came through this connection.
type liteError struct{ cause error }

func (e liteError) Error() string { return e.cause.Error() }
func (e liteError) Unwrap() error { return e.cause }

// Code returns SQLite's result code.
func (e liteError) Code() int { return int(sqlite.ErrCode(e.cause)) }

func liteFault(err error) error {
	if err == nil {
		return nil
	}
	switch sqlite.ErrCode(err) {
	case sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintUnique, sqlite.ResultConstraintRowID:
		return errors.Join(gorm.ErrDuplicatedKey, err)
	case sqlite.ResultConstraintForeignKey:
		return errors.Join(gorm.ErrForeignKeyViolated, err)
	}
	return liteError{err}
}
