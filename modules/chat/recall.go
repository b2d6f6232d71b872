package chat

import (
	"context"
	"slices"

	"llmhist/platform/fault"
)

const (
	// maxRecalled bounds the bytes of messages that are kept in memory to put a
	// conversation together. Some of them may turn out to be of other branches.
	maxRecalled = 2 * maxCompletionBody
	// maxRecallRead bounds the bytes that are read for it, settings included.
	maxRecallRead = 64 << 20
	// recallBatch is about how many bytes are read at once, after the first exchange.
	recallBatch = 1 << 20
	// recallMessages bounds the messages that are read at once, which may be far
	// longer than those before: the longest requests come to about maxRecallRead.
	recallMessages = 16
)

// recalling reads a conversation back from the history, from its end.
type recalling struct {
	service *service
	place   *place
	answer  message    // that ends it
	list    []recalled // newest first
	next    string     // id of the answer that is looked for
	all     bool       // what is looked for is not known by its id: everything is kept
	read    int        // bytes
	held    int        // bytes of list
}

// recall returns all that was said up to an answer, as messages of a chat
// completion, without the instructions of its requests. The session of an answer
// may hold several branches of a conversation: what is returned has the very
// digest that was stored with the answer. A conversation that cannot be had so is
// refused.
func (s *service) recall(ctx context.Context, at *place, answer message) ([]turn, error) {
	r := recalling{service: s, place: at, answer: answer, next: answer.ID}
	if err := r.collect(ctx); err != nil {
		return nil, err
	}
	slices.Reverse(r.list)
	return follow(r.list)
}

// collect reads the session backwards as far as it has to.
func (r *recalling) collect(ctx context.Context) error {
	part := messagePart{Before: r.answer.Position + 1, Limit: 2}
	for {
		newestFirst, err := r.service.repository.ListMessages(ctx, r.answer.UserID, r.answer.SessionID, part)
		if err != nil {
			return err
		}
		bytes := 0
		for i := 0; i+1 < len(newestFirst); i += 2 {
			answer, question := newestFirst[i], newestFirst[i+1]
			bytes += len(answer.Content) + len(answer.Extra) + len(question.Content) + len(question.Extra)
			if whole, err := r.take(ctx, question, answer); whole || err != nil {
				return err
			}
		}
		if len(newestFirst) < part.Limit {
			return r.atBeginning()
		}
		if r.read += bytes; r.read > maxRecallRead {
			return tooLongToRecall()
		}
		part.Before = newestFirst[len(newestFirst)-1].Position
		part.Limit = min(max(recallBatch/(bytes/part.Limit+1), 2), 4*part.Limit, recallMessages) &^ 1
	}
}

// take takes an exchange that may be a part of the conversation, and reports
// whether it is the first one.
func (r *recalling) take(ctx context.Context, question, answer message) (first bool, err error) {
	if !r.all && answer.ID != r.next {
		return false, nil
	}
	exchange, ok := recallExchange(question, answer)
	if !ok {
		if r.all {
			return false, nil // of another branch, or what follows it will not fit
		}
		return false, notRecalled()
	}
	r.list = append(r.list, exchange)
	if r.held += exchange.size; r.held > maxRecalled || len(r.list) > maxTurns {
		return false, tooLongToRecall()
	}
	if r.held > longDocument {
		if err := r.place.hold(ctx); err != nil {
			return false, err
		}
	}
	switch {
	case r.all:
		return false, nil
	case exchange.begins():
		return true, nil
	case exchange.previous != "":
		r.next = exchange.previous
	default:
		r.all = true
	}
	return false, nil
}

// atBeginning is called when the session has no more.
func (r *recalling) atBeginning() error {
	if !r.all {
		return notRecalled()
	}
	return nil
}

// isNewest reports whether a session has nothing after an answer, except what
// failed or was left by its client.
func (s *service) isNewest(ctx context.Context, answer message) (bool, error) {
	s.openings.settleSession(ctx, answer.SessionID, settleSoon) // another one that goes on from it
	part := messagePart{Limit: 2}
	for range 5 {
		newestFirst, err := s.repository.ListMessages(ctx, answer.UserID, answer.SessionID, part)
		if err != nil || len(newestFirst) == 0 {
			return false, err
		}
		switch newest := newestFirst[0]; {
		case newest.ID == answer.ID:
			return true, nil
		case newest.Status != statusFailed && newest.Status != statusCancelled:
			return false, nil
		}
		part.Before = newestFirst[len(newestFirst)-1].Position
	}
	return false, nil
}

const previousField = "previous_response_id"

func refusePrevious(code, detail string) error {
	return &fault.Error{Kind: fault.Invalid, Code: code, Detail: detail, Fields: []fault.Field{{Field: previousField, Code: code, Message: detail}}}
}

// noSuchResponse says the same of a response that never was, failed, is still
// being made, was deleted, or is another user's.
func noSuchResponse() error {
	return refusePrevious("previous_response_not_found", "There is no previous response with this id: it must be one of your own that was completed and not deleted.")
}

func notRecalled() error {
	return refusePrevious("previous_response_not_whole",
		"The conversation that this response ends was not kept in a way that allows to go on from it. Send the whole conversation as input.")
}

func tooLongToRecall() error {
	return refusePrevious("previous_response_too_long",
		"The conversation that this response ends is longer than one request may be. Send what is needed of it as input.")
}
