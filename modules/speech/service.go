package speech

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/identity"
	"llmhist/platform/uid"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// maxQuery is the most characters a search may have.
const maxQuery = 200

// service holds the rules of the module.
type service struct {
	catalog    *catalog
	transcoder *transcoder
	repository Repository
	ledger     *history.Ledger
	logger     *slog.Logger
	now        func() time.Time
	newID      func(time.Time) string

	instance string
	living   func(ctx context.Context) (map[string]bool, error)
	inFlight sync.Map // ids this process is at work on
	damaged  history.Damaged
}

// Generate speaks a text and returns the completed conversion. Nothing is
// stored for a request that is refused; a fault after that carries the id of
// the failed conversion as "id".
func (s *service) Generate(ctx context.Context, r Request) (Conversion, error) {
	usage.Update(ctx, func(f *usage.Figures) { f.InputBytes = int64(len(r.Text)) })
	ways, err := s.catalog.plan(ctx, r)
	if err != nil {
		return Conversion{}, err
	}
	at := s.now().UTC().Truncate(time.Millisecond)
	c := Conversion{
		ID: s.newID(at), UserID: identity.From(ctx).Owner(), Status: StatusProcessing, Instance: s.instance, Bucket: s.ledger.Bucket().Name(),
		RequestID: identity.RequestID(ctx), CreatedAt: at, UpdatedAt: at,
	}
	c.planned(ctx, ways[0])
	usage.Update(ctx, func(f *usage.Figures) { f.ObjectID, f.InputBytes = c.ID, int64(len(c.Text)) })
	s.inFlight.Store(c.ID, true)
	defer s.inFlight.Delete(c.ID)
	if err := s.repository.Create(ctx, c); err != nil {
		return Conversion{}, err
	}
	sound, err := s.make(ctx, &c, ways)
	if err != nil {
		return Conversion{}, s.giveUp(ctx, c, err)
	}
	return s.complete(ctx, c, sound)
}

// Find returns a conversion the caller may see. For everyone else it does not
// exist.
func (s *service) Find(ctx context.Context, id string) (Conversion, error) {
	if !uid.Valid(id) {
		return Conversion{}, notFound()
	}
	c, err := s.repository.Find(ctx, id)
	if err != nil {
		return Conversion{}, err
	}
	if !identity.From(ctx).CanSee(c.UserID) {
		return Conversion{}, notFound()
	}
	return s.linked(ctx, c)
}

// ListOwn returns a page of the caller's conversions, newest first, and how
// many there are.
func (s *service) ListOwn(ctx context.Context, page web.Page) ([]Conversion, int64, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, 0, err
	}
	list, total, err := s.list(ctx, Filter{UserID: caller.UserID}, page)
	if err != nil {
		return nil, 0, err
	}
	for i := range list {
		if list[i], err = s.linked(ctx, list[i]); err != nil {
			return nil, 0, err
		}
	}
	return list, total, nil
}

// ListAll returns a page of the conversions the caller may administer, newest
// first: an admin's scope is everyone's, anyone else's their own, so that
// another user's id finds nothing there. query searches the texts.
func (s *service) ListAll(ctx context.Context, userID *int64, query string, page web.Page) ([]Conversion, int64, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, 0, err
	}
	query = strings.TrimSpace(query)
	var fields fault.Fields
	fields.Check(utf8.RuneCountInString(query) <= maxQuery, "q", "too_long", fmt.Sprintf("must be at most %d characters", maxQuery))
	fields.Check(userID == nil || *userID >= 1, "user_id", "out_of_range", "must be the id of a user, from 1")
	if err := fields.Err(); err != nil {
		return nil, 0, err
	}
	filter := Filter{UserID: caller.UserID, Text: query}
	switch {
	case !caller.Admin() && userID != nil && *userID != caller.UserID:
		return []Conversion{}, 0, nil
	case caller.Admin() && userID != nil:
		filter.UserID = *userID
	case caller.Admin():
		filter.Everyone = true
	}
	return s.list(ctx, filter, page)
}

// list returns a page and says in the log which of its rows are damaged.
func (s *service) list(ctx context.Context, filter Filter, page web.Page) ([]Conversion, int64, error) {
	list, total, err := s.repository.List(ctx, filter, page.Size, page.Offset())
	for _, c := range list {
		s.damaged.Tell(ctx, s.logger, c.ID, c.Damage)
	}
	return list, total, err
}

// Download returns a link to the sound. A conversion without one is a Conflict
// fault (code "not_ready") that carries its status.
func (s *service) Download(ctx context.Context, id string) (blob.SignedURL, error) {
	c, err := s.Find(ctx, id)
	if err != nil {
		return blob.SignedURL{}, err
	}
	if c.Status == StatusCompleted {
		return s.ledger.Bucket().SignedURL(ctx, c.MediaKey())
	}
	if c.Failure != nil {
		return blob.SignedURL{}, fault.New(fault.Conflict, "not_ready", "This speech was not made: "+c.Failure.Detail).
			With("speech_status", c.Status).With("error", failureOf(c.Failure))
	}
	return blob.SignedURL{}, fault.New(fault.Conflict, "not_ready", "This speech is still being made. Try again shortly.").
		With("speech_status", c.Status)
}

// Sound returns the file of a completed conversion.
func (s *service) Sound(ctx context.Context, c Conversion) ([]byte, error) {
	return blob.ReadAll(ctx, s.ledger.Bucket(), c.MediaKey(), c.Size)
}

// Models lists what there is to speak with, the operator's first choice first.
func (s *service) Models(ctx context.Context) []model {
	var list []model
	for _, p := range s.catalog.all {
		list = append(list, p.models(ctx)...)
	}
	for _, a := range s.catalog.aliases {
		list = append(list, s.catalog.listed(ctx, a))
	}
	return list
}

// linked adds the link to the sound of a completed conversion.
func (s *service) linked(ctx context.Context, c Conversion) (Conversion, error) {
	if c.Status != StatusCompleted {
		return c, nil
	}
	signed, err := s.ledger.Bucket().SignedURL(ctx, c.MediaKey())
	c.AudioURL = signed.URL
	return c, err
}
