package database

import (
	"context"
	"errors"
	"net"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"llmhist/platform/fault"
)

// Error codes of MongoDB servers
// (https://www.mongodb.com/docs/manual/reference/error-codes/).
var (
	documentsFull = []int{14031} // OutOfDiskSpace
	// documentsAway are about the state of the servers: stopping, changing
	// their primary, out of time, or not acknowledged by a majority.
	documentsAway = []int{6, 7, 50, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)

// MongoFault gives an error of the document driver its kind, as Fault does for
// SQL: Unavailable with code "documents_unavailable" when trying again can help.
// That the operation ran out of time is Unavailable too, so a caller whose own
// context may have ended asks that first, as Mongo.Do does. A cancelled context
// passes through.
func MongoFault(err error) error {
	var known *fault.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case hasCode(err, documentsFull):
		return fault.Wrap(err, fault.OutOfSpace, "storage_full", "The document database has no space left. Free some disk space and try again.")
	case documentsUnreachable(err):
		return fault.Wrap(err, fault.Unavailable, "documents_unavailable", "The document database does not answer right now. Try again shortly.")
	default:
		return fault.Wrap(err, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
	}
}

// documentsUnreachable recognizes, beside errors of the network, that of the
// driver's pool for who waits for a connection while another's breaks: it has no
// exported type, but says that it may be retried.
func documentsUnreachable(err error) bool {
	var network net.Error
	var pool interface{ Retryable() bool }
	if errors.As(err, &pool) && pool.Retryable() {
		return true
	}
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, mongo.ErrClientDisconnected) || errors.As(err, &network) || hasCode(err, documentsAway)
}

func hasCode(err error, codes []int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && slices.ContainsFunc(codes, server.HasErrorCode)
}
