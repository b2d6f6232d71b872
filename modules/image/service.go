package image

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

// service holds the rules of the module.
type service struct {
	router     *router
	repository repository
	ledger     *history.Ledger
	logger     *slog.Logger
	now        func() time.Time
	newID      func(time.Time) string
	chargeMore func(ctx context.Context) error // nil = nothing is counted

	instance string
	living   func(ctx context.Context) (map[string]bool, error)
	inFlight sync.Map // ids this process is at work on
	damaged  history.Damaged
}

// Generate makes a picture and returns it completed. A fault after the request
// was accepted carries the id of the failed image as "id".
func (s *service) Generate(ctx context.Context, params Params) (Image, error) {
	usage.Update(ctx, func(f *usage.Figures) { f.InputBytes = int64(len(params.Prompt)) })
	plan, err := s.router.check(params)
	if err != nil {
		return Image{}, err
	}
	first := plan.candidates[0]
	at := s.now().UTC().Truncate(time.Millisecond)
	image := Image{
		ID: s.newID(at), UserID: identity.From(ctx).Owner(), RequestID: identity.RequestID(ctx),
		Prompt: plan.params.Prompt, NegativePrompt: plan.params.NegativePrompt, Size: plan.params.Size, Style: plan.params.Style,
		Status: StatusProcessing, Instance: s.instance, Provider: first.name, Model: first.model.ID, Bucket: s.ledger.Bucket().Name(), CreatedAt: at,
	}
	image.Seed = first.seed(plan.task)
	usage.Update(ctx, func(f *usage.Figures) {
		f.Provider, f.Model, f.ObjectID, f.InputBytes = image.Provider, image.Model, image.ID, int64(len(image.Prompt))
	})
	s.inFlight.Store(image.ID, true)
	defer s.inFlight.Delete(image.ID)
	if err := s.repository.Create(ctx, image); err != nil {
		return Image{}, err
	}
	return s.carryOut(ctx, image, plan)
}

// GenerateSeveral makes count pictures of one request, one after the other, and
// returns them completed. Each is a request of its own in the history, with the
// seed that follows the one before. What was made before a fault stays there.
func (s *service) GenerateSeveral(ctx context.Context, params Params, count int) ([]Image, error) {
	images := make([]Image, 0, count)
	for i := range count {
		if i > 0 && s.chargeMore != nil {
			if err := s.chargeMore(ctx); err != nil {
				return nil, err
			}
		}
		image, err := s.Generate(ctx, params)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
		if params.Seed != nil {
			next := (*params.Seed + 1) % (maxSeed + 1)
			params.Seed = &next
		}
	}
	return images, nil
}

// Picture returns the PNG of a completed image.
func (s *service) Picture(ctx context.Context, image Image) ([]byte, error) {
	return blob.ReadAll(ctx, s.ledger.Bucket(), image.Key, image.Media.Bytes)
}

// Find returns an image the caller may see. For everyone else it does not
// exist.
func (s *service) Find(ctx context.Context, id string) (Image, error) {
	if !uid.Valid(id) {
		return Image{}, notFound()
	}
	image, err := s.repository.Find(ctx, id)
	if err != nil {
		return Image{}, err
	}
	if !identity.From(ctx).CanSee(image.UserID) {
		return Image{}, notFound()
	}
	return image, nil
}

// ListOwn returns a page of the caller's images, newest first, and how many
// there are.
func (s *service) ListOwn(ctx context.Context, page web.Page) ([]Image, int64, error) {
	caller, err := identity.Require(ctx)
	if err != nil {
		return nil, 0, err
	}
	return s.list(ctx, OwnedBy(caller.UserID), "", page)
}

// ListAll returns a page of the images the caller may administer, newest
// first: an admin's scope is everyone's, anyone else's their own, so that
// another user's id finds nothing there. query searches the prompts.
func (s *service) ListAll(ctx context.Context, userID *int64, query string, page web.Page) ([]Image, int64, error) {
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
	scope := Everyone()
	switch {
	case !caller.Admin() && userID != nil && *userID != caller.UserID:
		return []Image{}, 0, nil
	case !caller.Admin():
		scope = OwnedBy(caller.UserID)
	case userID != nil:
		scope = OwnedBy(*userID)
	}
	return s.list(ctx, scope, query, page)
}

// list returns a page and says in the log which of its rows are damaged.
func (s *service) list(ctx context.Context, scope Scope, query string, page web.Page) ([]Image, int64, error) {
	list, total, err := s.repository.List(ctx, scope, query, page)
	for _, image := range list {
		s.damaged.Tell(ctx, s.logger, image.ID, image.Damage)
	}
	return list, total, err
}

// Download returns a link to the picture. An image without one is a Conflict
// fault (code "not_ready") that carries its status, and its error if it failed.
func (s *service) Download(ctx context.Context, id string) (blob.SignedURL, error) {
	image, err := s.Find(ctx, id)
	if err != nil {
		return blob.SignedURL{}, err
	}
	switch image.Status {
	case StatusCompleted:
		return s.ledger.Bucket().SignedURL(ctx, image.Key)
	case StatusFailed, StatusCancelled:
		return blob.SignedURL{}, fault.New(fault.Conflict, "not_ready", "This image was not made: "+image.Failure.Detail).
			With("image_status", image.Status).
			With("error", RecordError{Code: image.Failure.Code, Detail: image.Failure.Detail})
	default:
		return blob.SignedURL{}, fault.New(fault.Conflict, "not_ready", "This image is still being made. Try again shortly.").
			With("image_status", image.Status)
	}
}

// Link returns a link to the picture of a completed image.
func (s *service) Link(ctx context.Context, image Image) (string, error) {
	signed, err := s.ledger.Bucket().SignedURL(ctx, image.Key)
	return signed.URL, err
}

// Models lists what pictures can be made with, the default first.
func (s *service) Models() []candidate { return s.router.list() }
