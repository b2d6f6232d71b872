package database_test

import (
	"errors"
	"fmt"
	"testing"

	"llmhist/platform/database"
	"llmhist/platform/fault"
)

// cleared is what the driver gives who waits for a connection when another
// caller's breaks; its own type is not exported.
type cleared struct{}

func (cleared) Error() string {
	return "connection pool for 127.0.0.1:1 was cleared because another operation failed"
}
func (cleared) Retryable() bool { return true }

func TestAnErrorOfTheConnectionPoolIsAnOutage(t *testing.T) {
	for _, err := range []error{cleared{}, fmt.Errorf("find: %w", cleared{})} {
		if got := database.MongoFault(err); !fault.Is(got, fault.Unavailable) || fault.CodeOf(got) != "documents_unavailable" {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := database.MongoFault(errors.New("anything else")); !fault.Is(got, fault.Internal) {
		t.Errorf("an unknown error became %v", got)
	}
}
