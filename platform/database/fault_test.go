package database_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

func TestAnAnswerWithoutACodeIsAnError(t *testing.T) {
	db := testkit.SQLite(t)
	for _, code := range []string{"", "5", "5730"} {
		answer := &pgconn.PgError{Severity: "FATAL", Code: code, Message: "said by what is no PostgreSQL server"}
		err := db.Write(t.Context(), func(*gorm.DB) error { return answer })
		if !errors.Is(err, answer) {
			t.Errorf("code %q: a write is %v", code, err)
		}
		want := fault.Internal
		if code == "5730" {
			want = fault.Unavailable
		}
		if err := database.Fault(answer); !fault.Is(err, want) {
			t.Errorf("code %q became %v", code, err)
		}
	}
}

// The kinds that callers act by, of what PostgreSQL can say
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
func TestWhatPostgreSQLSaysHasAKind(t *testing.T) {
	for code, want := range map[string]fault.Kind{
		"53100": fault.OutOfSpace,  // disk_full
		"53300": fault.Unavailable, // too_many_connections
		"57P01": fault.Unavailable, // admin_shutdown
		"57P03": fault.Unavailable, // cannot_connect_now
		"08006": fault.Unavailable, // connection_failure
		"40001": fault.Unavailable, // serialization_failure
		"42703": fault.Internal,    // undefined_column
	} {
		if err := database.Fault(fmt.Errorf("write: %w", &pgconn.PgError{Severity: "ERROR", Code: code})); !fault.Is(err, want) {
			t.Errorf("code %s became %v", code, err)
		}
	}
}
