package database_test

import (
	"errors"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

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

func TestADiskThatIsFullIsSaidToBe(t *testing.T) {
	full := []error{
		mongo.CommandError{Code: 14031, Name: "OutOfDiskSpace", Message: "no space left on device"},
		mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 14031}},
		mongo.WriteException{WriteErrors: mongo.WriteErrors{{Code: 14031}}},
		mongo.BulkWriteException{WriteErrors: []mongo.BulkWriteError{{WriteError: mongo.WriteError{Code: 14031}}}},
	}
	for _, err := range full {
		if got := database.MongoFault(fmt.Errorf("insert: %w", err)); !fault.Is(got, fault.OutOfSpace) || fault.CodeOf(got) != "storage_full" {
			t.Errorf("%#v became %v", err, got)
		}
	}
}
