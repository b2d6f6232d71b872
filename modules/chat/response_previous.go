package chat

import (
	"context"
	"slices"
	"strings"

	"github.com/tidwall/sjson"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
)

// responsePrefix is what the id of a response is more than that of its answer.
const responsePrefix = "resp_"

func answerID(responseID string) string { return strings.TrimPrefix(responseID, responsePrefix) }

// continueResponse returns a request that names an earlier response as if all that
// was said up to that had been sent before its input. It goes on in the session of
// that response when nothing came after it there, and begins one otherwise. The
// place is made as large as the request became.
func (s *service) continueResponse(ctx context.Context, at *place, q responseAsk) (responseAsk, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return q, err
	}
	id := answerID(q.document.Get(previousField).Str)
	if !uid.Valid(id) {
		return q, noSuchResponse()
	}
	answer, err := s.repository.FindAnswer(ctx, caller.UserID, id)
	if fault.Is(err, fault.NotFound) || err == nil && answer.Status != statusCompleted {
		return q, noSuchResponse()
	}
	if err != nil {
		return q, err
	}
	before, err := s.recall(ctx, at, answer)
	if err != nil {
		return q, err
	}
	newest, err := s.isNewest(ctx, answer)
	if err != nil {
		return q, err
	}
	if newest {
		q.SessionID = answer.SessionID
	}
	if q.completionAsk, err = q.goingOn(answer.ID, before); err != nil {
		return q, err
	}
	if err := at.grow(len(q.Body)); err != nil { // it was entered for what was sent
		return q, err
	}
	at.letGo()
	return q, nil
}

// goingOn returns the request with messages before its own.
func (q completionAsk) goingOn(previous string, before []turn) (completionAsk, error) {
	turns := slices.Concat(q.Turns[:q.Preface], before, q.Turns[q.Preface:])
	size := len(turns)
	for _, t := range turns {
		size += len(t.Raw)
	}
	if len(turns) > maxTurns || size > maxCompletionBody {
		return q, tooLongToRecall()
	}
	messages := make([]byte, 0, size+2)
	for _, t := range turns {
		messages = append(append(messages, ','), t.Raw...)
	}
	messages[0] = '['
	body, err := sjson.SetRawBytes(q.Body, "messages", append(messages, ']'))
	if err != nil {
		return q, err
	}
	if len(body) > maxCompletionBody {
		return q, tooLongToRecall()
	}
	q.Body, q.Turns, q.Fresh = body, turns, q.Preface+len(before)
	of := *q.Response
	of.Previous = responsePrefix + previous
	q.Response = &of
	return q, nil
}

// goesOn reports whether the request named what it goes on from.
func (q completionAsk) goesOn() bool { return q.Response != nil && q.Response.Previous != "" }
