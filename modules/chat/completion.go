package chat

import (
	"context"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/usage"
)

// complete answers a request of OpenAI's chat completions. It keeps the same
// order as sendMessage: the question is stored while a provider is asked, and the
// outcome before the answer ends. A stream's chunks go to client as they come;
// otherwise it gets the whole answer. The session is the one in which the conversation was kept so far,
// else a new one.
//
// It is in parts so that a stream that waits for its model holds a small stack.
func (s *service) complete(ctx context.Context, at *place, q completionAsk, client chunkClient) (answer message, err error) {
	asking, run, err := s.beginCompletion(ctx, at, q, client)
	if err != nil {
		return message{}, err
	}
	defer run.close()
	result, err := run.ask(asking, run.targets, run.try)
	return run.conclude(ctx, result, err)
}

// beginCompletion sees to it that the question is stored, and returns with what
// context its provider is to be asked.
func (s *service) beginCompletion(ctx context.Context, at *place, q completionAsk, client chunkClient) (context.Context, *completing, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, nil, err
	}
	targets, err := s.targetsFor(ctx, q.Model, "")
	if err != nil {
		return nil, nil, err
	}
	before, conversation := q.threads()
	begin, err := s.prepareCompletion(ctx, caller.UserID, q, before)
	if err != nil {
		return nil, nil, err
	}
	begin.Answer.Provider, begin.Answer.Model = targets[0].provider.Name(), targets[0].model
	run := &completing{
		answering: newAnswering(s, at, begin.Answer), request: q, targets: targets, conversation: conversation,
		client: client, said: spoken{dir: s.spoolDir},
	}
	begun := false
	defer func() {
		if !begun {
			run.close()
		}
	}()
	asking, err := run.start(ctx, begin, false)
	if err != nil {
		return nil, nil, err
	}
	begun = true
	usage.Update(ctx, func(f *usage.Figures) { f.InputBytes, f.ObjectID = int64(len(q.Body)), begin.Answer.ID })
	return asking, run, nil
}

// conclude stores what became of the answer, ends it for the client and returns
// it, or the fault that ended it.
func (c *completing) conclude(ctx context.Context, result Result, err error) (message, error) {
	if lost := c.gatherDetached(ctx); lost != nil {
		err = lost
	}
	c.besides = int64(c.said.size+3) / 4
	c.answer.Extra = c.said.extra()
	if err == nil {
		first := c.said.choice(0)
		c.conversation.add(turn{Role: roleAssistant, Text: c.answer.Content, calls: first.toolCalls(), audio: first.audio})
		c.answer.Thread = c.conversation.name()
	}
	answer, err := c.answering.conclude(ctx, func() int64 { return estimatePrompt(c.request.prompt()) }, result, err)
	if err != nil {
		return answer, err
	}
	return answer, c.end()
}

// prepareCompletion finds or makes the session and the two messages of the
// exchange.
func (s *service) prepareCompletion(ctx context.Context, userID int64, q completionAsk, before string) (exchangeStart, error) {
	sessionID := q.SessionID
	if before != "" && !q.goesOn() {
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
		if begin.Title == "" { // only outputs of functions are new
			begin.Title = deriveTitle(q.lastQuestion())
		}
	}
	begin.Question.Extra = q.extra(!begin.New)
	return begin, nil
}
