package database_test

import (
	"errors"
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
