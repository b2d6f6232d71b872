package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/spool"
	"llmhist/platform/uid"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

const (
	maxTemperature = 2
	maxMaxTokens   = 1_000_000
	// storeDeadline bounds the storing of an outcome, which goes on when the
	// request is over.
	storeDeadline = 30 * time.Second
	// gatherDeadline bounds how long a long answer waits for memory to be stored in.
	gatherDeadline = answerTimeout + 5*time.Minute
	// historyBatch and maxHistoryBatches bound how much of a session is read
	// for one prompt. A batch is even: it cuts no exchange in two.
	historyBatch      = 20
	maxHistoryBatches = 50
)

// ask is one message of a user with what came along.
type ask struct {
	Message     string
	SessionID   string // "" = make a session
	Model       string // "" = the session's, else by the order of providers
	System      *string
	Temperature *float64
	MaxTokens   *int64
	Stream      bool
}

// checked returns the ask with its texts trimmed, or everything wrong with it.
func (q ask) checked() (ask, error) {
	q.Message = strings.TrimSpace(q.Message)
	var fields fault.Fields
	fields.Check(q.Message != "", "message", "required", "must not be empty")
	fields.Check(runes(q.Message) <= maxMessageRunes, "message", "too_long",
		"must be at most 32000 characters after white space around it is removed")
	if q.System != nil {
		system := strings.TrimSpace(*q.System)
		q.System = &system
		checkSystem(&fields, system)
	}
	if q.Temperature != nil {
		fields.Check(*q.Temperature >= 0 && *q.Temperature <= maxTemperature, "temperature", "out_of_range", "must be 0 to 2")
	}
	if q.MaxTokens != nil {
		fields.Check(*q.MaxTokens >= 1 && *q.MaxTokens <= maxMaxTokens, "max_tokens", "out_of_range", "must be 1 to 1000000")
	}
	return q, fields.Err()
}

func (q ask) maxTokens() int64 {
	if q.MaxTokens == nil {
		return 0
	}
	return *q.MaxTokens
}

// sendMessage answers a message of the caller. The question is stored while a
// provider is asked, or before that when deliver is to get the text in pieces, and
// the outcome before sendMessage returns, also when the client is gone: what had
// come by then is kept as cancelled. deliver's error means that nobody listens any
// more. The caller keeps at until the answer is sent.
// A fault that comes after the question was stored names session_id and
// message_id.
func (s *service) sendMessage(ctx context.Context, at *place, q ask, deliver func(answer message, text string) error) (message, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return message{}, err
	}
	if q, err = q.checked(); err != nil {
		return message{}, err
	}
	begin, err := s.prepare(ctx, caller.UserID, q)
	if err != nil {
		return message{}, err
	}
	targets, err := s.targetsFor(ctx, q.Model, begin.Session.Model)
	if err != nil {
		return message{}, err
	}
	request := Request{Temperature: q.Temperature, MaxTokens: q.maxTokens(), Stream: q.Stream}
	if request.Messages, err = s.promptFor(ctx, begin, request.MaxTokens); err != nil {
		return message{}, err
	}
	begin.Answer.Provider, begin.Answer.Model = targets[0].provider.Name(), targets[0].model
	run := newAnswering(s, at, begin.Answer)
	defer run.close()
	asking, err := run.start(ctx, begin, deliver != nil)
	if err != nil {
		return message{}, err
	}
	usage.Update(ctx, func(f *usage.Figures) { f.InputBytes, f.ObjectID = int64(len(q.Message)), begin.Answer.ID })

	run.deliver = deliver
	request.Hold = at.hold
	result, err := run.ask(asking, targets, func(ctx context.Context, to target) (Result, error) {
		request.Model = to.model
		return to.provider.Answer(ctx, request, func(text string) error { return run.take(ctx, text) })
	})
	if lost := run.gatherDetached(ctx); lost != nil {
		err = lost
	}
	return run.conclude(ctx, func() int64 { return estimatePrompt(request.Messages) }, result, err)
}

// prepare finds or makes the session and the two messages of the exchange.
func (s *service) prepare(ctx context.Context, userID int64, q ask) (exchangeStart, error) {
	at := s.moment()
	begin := exchangeStart{New: q.SessionID == "", Title: deriveTitle(q.Message), System: q.System}
	if begin.New {
		begin.Session = session{ID: s.newID(at), UserID: userID, CreatedAt: at}
	} else {
		if !uid.Valid(q.SessionID) {
			return begin, noSuchSession()
		}
		s.openings.settleSession(ctx, q.SessionID, settleSoon)
		found, err := s.repository.FindSession(ctx, userID, q.SessionID)
		if err != nil {
			return begin, err
		}
		begin.Session = found
	}
	begin.Session.UpdatedAt = at
	if q.System != nil {
		begin.Session.System = *q.System
	}
	if q.Model != "" {
		begin.Model = &q.Model
	}
	part := message{SessionID: begin.Session.ID, UserID: userID, CreatedAt: at}
	begin.Question, begin.Answer = part, part
	begin.Question.ID, begin.Answer.ID = s.newID(at), s.newID(at)
	begin.Question.Role, begin.Answer.Role = roleUser, roleAssistant
	begin.Question.Content, begin.Question.FinishedAt = q.Message, at
	begin.Question.Status, begin.Answer.Status = statusCompleted, statusProcessing
	begin.Answer.Instance = s.instance
	return begin, nil
}

// targetsFor returns who is asked, in order. More than one are an alias, and a
// request that leaves the choice open where the operator ordered the providers: a
// model that was named is never replaced. A session whose model is
// not offered any more is as open as one without.
func (s *service) targetsFor(ctx context.Context, asked, ofSession string) ([]target, error) {
	if asked != "" {
		named, known := s.resolve(ctx, asked)
		if !known {
			return nil, unknownModel()
		}
		return named, nil
	}
	if kept, known := s.resolve(ctx, ofSession); known {
		return kept, nil
	}
	targets := s.catalogue.inOrder()
	if !s.fallback {
		targets = targets[:1]
	}
	return targets, nil
}

// resolve is that of the catalogue, after providers that can be asked what they
// offer were asked about a model that nobody knows.
func (s *service) resolve(ctx context.Context, model string) ([]target, bool) {
	named, known := s.catalogue.resolve(model)
	if known || model == "" {
		return named, known
	}
	s.catalogue.discover(ctx, discoveryPause)
	return s.catalogue.resolve(model)
}

// promptFor returns the system prompt, as much of the session's history as fits
// and the question.
func (s *service) promptFor(ctx context.Context, begin exchangeStart, maxTokens int64) ([]PromptMessage, error) {
	of := begin.Session
	fit := newWindow(of.System, begin.Question.Content, s.contextTokens, answerReserve(maxTokens, s.contextTokens))
	if begin.New {
		return fit.prompt(), nil
	}
	part := messagePart{Limit: historyBatch}
	for range maxHistoryBatches {
		newestFirst, err := s.repository.ListMessages(ctx, of.UserID, of.ID, part)
		if err != nil {
			return nil, err
		}
		if !fit.add(exchanges(newestFirst)) || len(newestFirst) < historyBatch {
			break
		}
		part.Before = newestFirst[len(newestFirst)-1].Position
	}
	return fit.prompt(), nil
}

var (
	errClientGone = errors.New("the client takes no more of the answer")
	errAnswerFull = errors.New("the answer is longer than the limit")
)

// answering is one answer under construction. It lives on the goroutine of its
// request.
type answering struct {
	service *service
	opening *opening
	answer  message
	text    spool.Text
	place   *place
	began   bool  // the client was sent something: no other provider can be asked
	spoke   bool  // the first piece of the answer was there
	besides int64 // tokens of the answer that are not of its content
	deliver func(answer message, text string) error
}

// newAnswering begins work on an answer, which close ends.
func newAnswering(s *service, at *place, answer message) *answering {
	s.inFlight.Store(answer.ID, true)
	return &answering{service: s, place: at, answer: answer, text: spool.Text{Dir: s.spoolDir}}
}

func (a *answering) close() {
	a.opening.abandon()
	a.service.inFlight.Delete(a.answer.ID)
	_ = a.text.Close() // it is stored by now
}

// gather brings the whole text into memory.
func (a *answering) gather(ctx context.Context) (err error) {
	if a.answer.Content != "" {
		return nil
	}
	if a.text.Long() {
		if err := a.place.hold(ctx); err != nil {
			return err
		}
	}
	a.answer.Content, err = a.text.Read()
	return err
}

// ask asks the targets in order until one begins to answer. The next one is
// tried only before the first piece of text, and never for a fault that is the
// user's to mend.
func (a *answering) ask(ctx context.Context, targets []target, try func(context.Context, target) (Result, error)) (Result, error) {
	for i, to := range targets {
		a.answer.Provider, a.answer.Model = to.provider.Name(), to.model
		usage.Update(ctx, func(f *usage.Figures) { f.Provider, f.Model = a.answer.Provider, a.answer.Model })
		result, err := try(ctx, to)
		last := i == len(targets)-1
		if err == nil || last || a.began || ctx.Err() != nil || fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge) {
			return result, err
		}
		a.place.letGo()
		a.service.logger.WarnContext(ctx, "chat provider failed, asking the next",
			"provider", a.answer.Provider, "code", fault.CodeOf(err), "next", targets[i+1].provider.Name())
	}
	return Result{}, nil // not reached: there is always a target
}

// take adds a piece of text and passes it on. PostgreSQL cannot store U+0000,
// so it is left out.
func (a *answering) take(ctx context.Context, text string) error {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	room := a.service.maxAnswer - a.text.Len()
	full := len(text) > room
	if full {
		text = strings.ToValidUTF8(text[:room], "") // a character cut in two goes
	}
	if text != "" {
		a.firstByte(ctx)
		if err := a.text.WriteString(text); err != nil {
			return err
		}
		if a.deliver != nil {
			if err := a.deliver(a.answer, text); err != nil {
				return fmt.Errorf("%w: %w", errClientGone, err)
			}
		}
	}
	if full {
		return errAnswerFull
	}
	return nil
}

// firstByte notes when the first piece of the answer was there.
func (a *answering) firstByte(ctx context.Context) {
	if !a.spoke {
		a.began, a.spoke = true, true
		usage.Update(ctx, func(f *usage.Figures) { f.FirstByte = a.service.now() })
	}
}

// conclude stores what became of the answer, whose text was gathered, and returns
// it, or the fault that ended it. promptTokens estimates what was asked.
func (a *answering) conclude(ctx context.Context, promptTokens func() int64, result Result, err error) (message, error) {
	a.answer.FinishedAt = a.service.moment()
	a.count(promptTokens, result, err)
	var failed *fault.Error
	switch {
	case err == nil:
		a.answer.Status, a.answer.FinishReason = statusCompleted, result.FinishReason
	case errors.Is(err, errAnswerFull):
		a.answer.Status, a.answer.FinishReason = statusCompleted, "length"
	case stopping(ctx):
		a.answer.Status = statusFailed
		failed = fault.Wrap(err, fault.Unavailable, codeInterrupted, detailInterrupted)
	case errors.Is(err, errClientGone), errors.Is(ctx.Err(), context.Canceled):
		a.answer.Status = statusCancelled
		failed = fault.Wrap(err, fault.Cancelled, "cancelled", "The client went away before the answer was complete.")
	default:
		a.answer.Status = statusFailed
		failed = web.Fault(err)
	}
	if failed != nil {
		a.answer.ErrorCode, a.answer.ErrorDetail = failed.Code, failed.Detail
		failed = failed.With("session_id", a.answer.SessionID).With("message_id", a.answer.ID)
	}
	return a.store(ctx, failed)
}

// gatherDetached gathers also what came of a request that is over.
func (a *answering) gatherDetached(ctx context.Context) error {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.service.gatherTime)
	defer cancel()
	return a.gather(detached)
}

// stopping reports whether ctx was ended by the server, which says why, and not
// by a client that left, of whom nobody does.
func stopping(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), context.Canceled)
}

// count sets the tokens: the provider's figures, else an estimate of what went
// to and fro. An answer that failed before its first piece consumed nothing.
func (a *answering) count(promptTokens func() int64, result Result, err error) {
	switch {
	case result.Counted:
		a.answer.Tokens = tokens{Input: result.InputTokens, Output: result.OutputTokens}
	case err == nil, a.spoke:
		a.answer.Tokens = tokens{Input: promptTokens(), Output: estimateTokens(a.answer.Content) + a.besides, Estimated: true}
	}
}

// store writes the outcome, whatever has become of the request.
func (a *answering) store(ctx context.Context, failed *fault.Error) (message, error) {
	usage.Update(ctx, func(f *usage.Figures) {
		f.InputTokens, f.OutputTokens, f.Estimated = a.answer.Tokens.Input, a.answer.Tokens.Output, a.answer.Tokens.Estimated
		f.OutputBytes = int64(len(a.answer.Content))
		f.CostUSD = a.service.catalogue.cost(a.answer.Provider, a.answer.Model, a.answer.Tokens)
	})
	err := a.opening.finish(ctx, a.answer)
	if lost := a.opening.lost(); lost != nil { // also when the provider failed: of that there is no record
		usage.Update(ctx, func(f *usage.Figures) { f.ObjectID = "" })
		return a.answer, lost
	}
	switch {
	case failed == nil:
		return a.answer, err
	case err != nil:
		a.service.logger.ErrorContext(ctx, "the outcome of a chat answer was not stored",
			"message_id", a.answer.ID, "status", a.answer.Status, "code", fault.CodeOf(err))
	}
	return a.answer, failed
}
