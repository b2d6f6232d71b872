package chat

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"llmhist/platform/fault"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
	"llmhist/platform/web"
)

// service holds the rules of chat. All of its methods that serve requests work
// on the signed-in caller's own sessions and treat every other as absent, for
// administrators too: conversations are private.
type service struct {
	repository    repository
	catalogue     catalogue
	logger        *slog.Logger
	now           func() time.Time
	newID         func(time.Time) string
	fallback      bool // the operator ordered the providers: each stands in for those before it
	contextTokens int64
	maxAnswer     int
	room          *room
	spoolDir      string
	gatherTime    time.Duration // for which a long answer waits for memory to be stored in
	instance      string
	living        func(ctx context.Context) (map[string]bool, error)
	inFlight      sync.Map // ids of the answers this process is at work on
	openings      openings
}

// moment returns the current time as it is stored.
func (s *service) moment() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// overdue is when no answer is under way any more, whoever has it and however
// much the clocks of two machines differ.
const overdue = 30 * time.Minute

// abandoned is a chooser: it picks the answers that no living server works on.
func (s *service) abandoned(ctx context.Context, list []unfinished) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	living, err := s.living(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, answer := range list {
		_, atWork := s.inFlight.Load(answer.ID)
		leftBehind := answer.Instance == s.instance || !living[answer.Instance] || s.now().Sub(answer.CreatedAt) > overdue
		if !atWork && leftBehind {
			ids = append(ids, answer.ID)
		}
	}
	return ids, nil
}

// createSession makes an empty session for the caller. title, model and system
// may be empty.
func (s *service) createSession(ctx context.Context, title, model, system string) (session, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return session{}, err
	}
	title, system = oneLine(title), strings.TrimSpace(system)
	var fields fault.Fields
	fields.Check(runes(title) <= maxTitleRunes, "title", "too_long", "must be at most 200 characters")
	checkSystem(&fields, system)
	if err := fields.Err(); err != nil {
		return session{}, err
	}
	if model != "" {
		if _, known := s.resolve(ctx, model); !known {
			return session{}, unknownModel()
		}
	}
	at := s.moment()
	made := session{ID: s.newID(at), UserID: caller.UserID, Title: title, System: system, Model: model, CreatedAt: at, UpdatedAt: at}
	return made, s.repository.CreateSession(ctx, made)
}

// findSession returns the caller's session.
func (s *service) findSession(ctx context.Context, id string) (session, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return session{}, err
	}
	if !uid.Valid(id) {
		return session{}, noSuchSession()
	}
	s.openings.settleUser(ctx, caller.UserID, settleSoon)
	return s.repository.FindSession(ctx, caller.UserID, id)
}

// listSessions returns a page of the caller's sessions and how many there are.
func (s *service) listSessions(ctx context.Context, page web.Page) ([]session, int64, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, 0, err
	}
	s.openings.settleUser(ctx, caller.UserID, settleSoon)
	return s.repository.ListSessions(ctx, caller.UserID, page)
}

// listMessages returns a page of the messages of a session, counted from the
// newest, in the order in which they were said.
func (s *service) listMessages(ctx context.Context, of session, page web.Page) ([]message, error) {
	newestFirst, err := s.repository.ListMessages(ctx, of.UserID, of.ID, messagePart{Offset: page.Offset(), Limit: page.Size})
	if err != nil {
		return nil, err
	}
	list := make([]message, len(newestFirst))
	for i, m := range newestFirst {
		list[len(list)-1-i] = m
	}
	return list, nil
}

// renameSession gives the caller's session a title and returns the session.
func (s *service) renameSession(ctx context.Context, id, title string) (session, error) {
	title = oneLine(title)
	var fields fault.Fields
	fields.Check(title != "", "title", "required", "must not be empty")
	fields.Check(runes(title) <= maxTitleRunes, "title", "too_long", "must be at most 200 characters")
	if err := fields.Err(); err != nil {
		return session{}, err
	}
	found, err := s.findSession(ctx, id)
	if err != nil {
		return session{}, err
	}
	if err := s.repository.RenameSession(ctx, sessionTitle{found.UserID, found.ID, title, s.moment()}); err != nil {
		return session{}, err
	}
	return s.findSession(ctx, id)
}

// deleteSession removes the caller's session with its messages.
func (s *service) deleteSession(ctx context.Context, id string) error {
	caller, err := identity.Require(ctx)
	if err != nil {
		return err
	}
	if !uid.Valid(id) {
		return noSuchSession()
	}
	s.openings.settleUser(ctx, caller.UserID, settleWhole)
	return s.repository.DeleteSession(ctx, caller.UserID, id)
}

// modelOf returns the model a session shows: the one chosen for it, else that
// of its newest answer, else the one that would answer first.
func (s *service) modelOf(of session) string {
	if of.Model != "" {
		return of.Model
	}
	if of.LastModel != "" {
		return of.LastModel
	}
	return s.catalogue.inOrder()[0].model
}

func unknownModel() error {
	return &fault.Error{Kind: fault.Invalid, Code: "unknown_model",
		Detail: "There is no such chat model here. GET /chat/models lists those that can be used.",
		Fields: []fault.Field{{Field: "model", Code: "unknown_model", Message: "is not one of GET /chat/models"}}}
}

func checkSystem(fields *fault.Fields, system string) {
	fields.Check(runes(system) <= maxSystemRunes, "system", "too_long", "must be at most 32000 characters")
}

func runes(text string) int { return utf8.RuneCountInString(text) }
