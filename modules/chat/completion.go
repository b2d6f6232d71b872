package chat

import (
	"context"
	"errors"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/usage"
)

// complete answers a request of OpenAI's chat completions. It keeps the same
// order as sendMessage: the question is stored before a provider is asked, and
// the outcome before the answer ends. A stream's chunks go to send as they come;
// what send is given is valid until it returns. Otherwise the whole answer is
// returned. The session is the one in which the conversation was kept so far,
// else a new one.
func (s *service) complete(ctx context.Context, q completionAsk, send func(answer message, chunk []byte) error) (answer message, whole []byte, err error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return message{}, nil, err
	}
	targets, err := s.targetsFor(ctx, q.Model, "")
	if err != nil {
		return message{}, nil, err
	}
	leave, err := s.room.enter()
	if err != nil {
		return message{}, nil, err
	}
	defer leave()
	before, conversation := q.threads()
	begin, err := s.prepareCompletion(ctx, caller.UserID, q, before)
	if err != nil {
		return message{}, nil, err
	}
	begin.Answer.Provider, begin.Answer.Model = targets[0].provider.Name(), targets[0].model
	s.inFlight.Store(begin.Answer.ID, true)
	defer s.inFlight.Delete(begin.Answer.ID)
	if err := s.repository.BeginExchange(ctx, begin); err != nil {
		return message{}, nil, err
	}
	usage.Update(ctx, func(f *usage.Figures) { f.InputBytes, f.ObjectID = int64(len(q.Body)), begin.Answer.ID })

	run := &completing{answering: newAnswering(s, begin.Answer), request: q, send: send, said: spoken{dir: s.spoolDir}}
	defer run.close()
	result, err := run.ask(ctx, targets, run.try)
	err = errors.Join(err, run.gatherDetached(ctx))
	run.besides = int64(run.said.size+3) / 4
	run.answer.Extra = run.said.extra()
	if err == nil {
		conversation.add(turn{Role: roleAssistant, Text: run.answer.Content, calls: run.said.choice(0).toolCalls()})
		run.answer.Thread = conversation.name()
	}
	answer, err = run.conclude(ctx, func() int64 { return estimatePrompt(q.prompt()) }, result, err)
	if err != nil {
		return answer, nil, err
	}
	whole, err = run.end()
	return answer, whole, err
}

// prepareCompletion finds or makes the session and the two messages of the
// exchange.
func (s *service) prepareCompletion(ctx context.Context, userID int64, q completionAsk, before string) (exchangeStart, error) {
	sessionID := ""
	if before != "" {
		found, err := s.repository.FindThread(ctx, userID, before)
		if err != nil {
			return exchangeStart{}, err
		}
		sessionID = found
	}
	begin, err := s.prepare(ctx, userID, ask{Message: q.question(), SessionID: sessionID, Model: q.Model})
	if fault.Is(err, fault.NotFound) { // deleted meanwhile
		begin, err = s.prepare(ctx, userID, ask{Message: q.question(), Model: q.Model})
	}
	if err != nil {
		return begin, err
	}
	if begin.New {
		begin.Session.System = q.system()
	}
	begin.Question.Extra = q.extra(!begin.New)
	return begin, nil
}
