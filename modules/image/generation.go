package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/usage"
)

// How long it may take to put away an outcome after the request has ended.
const (
	storeTime  = 30 * time.Second
	settleTime = 10 * time.Second
)

// making is what the providers did for one image.
type making struct {
	output   Output
	attempts []RecordAttempt
	cost     float64 // of the picture, in US dollars
}

// carryOut takes an image whose row exists to its end. The order is that of a
// crash-safe history: input, provider, picture, record, index line, row.
func (s *service) carryOut(ctx context.Context, image Image, plan plan) (Image, error) {
	began := time.Now()
	var made making
	err := s.accept(ctx, image, plan.params.Model)
	if err == nil {
		made, err = s.make(ctx, &image, plan)
	}
	image.Took = time.Since(began)
	if err == nil {
		// The picture is there: a client that leaves now does not undo it.
		storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		err = s.store(storing, &image, made)
	}
	if err != nil {
		return Image{}, s.giveUp(ctx, image, made, err)
	}
	usage.Update(ctx, func(f *usage.Figures) { f.CostUSD += made.cost })
	return s.finish(ctx, image, made)
}

// accept stores the parameters, also of a client that has left already: the
// row exists, and with it a record will.
func (s *service) accept(ctx context.Context, image Image, model string) error {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return s.ledger.WriteInput(detached, image.ID, inputOf(image, model))
}

// make asks the candidates in turn until one makes the picture. Only the
// provider's own faults lead to the next one.
func (s *service) make(ctx context.Context, image *Image, plan plan) (making, error) {
	var made making
	for i, c := range plan.candidates {
		image.Provider, image.Model, image.Seed = c.name, c.model.ID, c.seed(plan.task)
		usage.Update(ctx, func(f *usage.Figures) { f.Provider, f.Model = c.name, c.model.ID })
		task := plan.task
		task.Model = c.model.ID
		output, err := c.provider.generate(ctx, task)
		if err == nil {
			image.Seed = output.Seed
			made.output, made.cost = output, c.model.cost(task.Size)
			countOutput(ctx, output)
			return made, nil
		}
		if i == len(plan.candidates)-1 || ctx.Err() != nil || fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge) {
			return made, err
		}
		s.logger.WarnContext(ctx, "image provider failed, the next one takes over", "provider", c.name, "model", c.model.ID, "code", fault.CodeOf(err))
		made.attempts = append(made.attempts, RecordAttempt{Provider: c.name, Model: c.model.ID, Code: fault.CodeOf(err)})
	}
	return made, fault.New(fault.Internal, "internal", "No image provider is configured.")
}

// countOutput adds to the figures of the request, which may be for several
// pictures.
func countOutput(ctx context.Context, output Output) {
	usage.Update(ctx, func(f *usage.Figures) {
		f.OutputBytes += int64(len(output.Picture.PNG))
		f.InputTokens += output.InputTokens
		f.OutputTokens += output.OutputTokens
	})
}

// store puts away the picture, the record and the index line.
func (s *service) store(ctx context.Context, image *Image, made making) error {
	data := made.output.Picture
	sum := sha256.Sum256(data.PNG)
	image.Status = StatusCompleted
	image.Key = image.key()
	image.Media = Media{
		Width: data.Width, Height: data.Height, Bytes: int64(len(data.PNG)),
		SHA256: hex.EncodeToString(sum[:]), SourceContentType: data.Source,
	}
	image.FinishedAt = s.now().UTC().Truncate(time.Millisecond)
	if _, err := s.ledger.Bucket().Put(ctx, image.Key, bytes.NewReader(data.PNG), blob.PutOptions{ContentType: pngType}); err != nil {
		return err
	}
	if err := s.ledger.WriteRecord(ctx, image.ID, recordOf(*image, made)); err != nil {
		return err
	}
	return s.ledger.AppendIndex(ctx, image.UserID, image.ID)
}

// finish completes the row. When that fails the history is complete all the
// same: Reconcile brings the row after it.
func (s *service) finish(ctx context.Context, image Image, made making) (Image, error) {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := s.repository.Finish(detached, image)
	if fault.Is(err, fault.Conflict) {
		err = s.reinstate(detached, image, func(ctx context.Context) error {
			if err := s.store(ctx, &image, made); err != nil {
				return err
			}
			return s.repository.Finish(ctx, image)
		})
	}
	if fault.Is(err, fault.NotFound) {
		return Image{}, withID(s.deletedMeanwhile(detached, image), image.ID)
	}
	if err != nil {
		return Image{}, withID(err, image.ID)
	}
	return image, nil
}

// giveUp records why there is no picture and returns the fault for the client.
func (s *service) giveUp(ctx context.Context, image Image, made making, cause error) error {
	cause = faultOf(cause)
	image.Status = StatusFailed
	if fault.Is(cause, fault.Cancelled) {
		image.Status = StatusCancelled
	}
	image.Failure = failureOf(cause)
	image.FinishedAt = s.now().UTC().Truncate(time.Millisecond)
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := s.settle(detached, image, made)
	if fault.Is(err, fault.Conflict) {
		err = s.reinstate(detached, image, func(ctx context.Context) error { return s.settle(ctx, image, made) })
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return withID(s.deletedMeanwhile(detached, image), image.ID)
	case err != nil: // the client gets the first cause; Reconcile tries again
		s.logger.ErrorContext(ctx, "the outcome of an image could not be stored", "id", image.ID, "code", fault.CodeOf(err), "cause", err)
	}
	return withID(cause, image.ID)
}

// settle stores an outcome without a picture: no media, the input if it is
// missing, a record, an index line, the row. It may be repeated.
func (s *service) settle(ctx context.Context, image Image, made making) error {
	image.Key, image.Media = "", Media{}
	if err := s.ledger.Bucket().Delete(ctx, image.key()); err != nil {
		return err
	}
	if err := s.ensureInput(ctx, image); err != nil {
		return err
	}
	if err := s.ledger.WriteRecord(ctx, image.ID, recordOf(image, made)); err != nil {
		return err
	}
	if err := s.ledger.EnsureIndex(ctx, image.UserID, image.ID); err != nil {
		return err
	}
	return s.repository.Finish(ctx, image)
}

// ensureInput stores the parameters of an image that has none stored: the store
// was away when the request came, or the process was stopped right after the row.
func (s *service) ensureInput(ctx context.Context, image Image) error {
	_, err := s.ledger.Bucket().Stat(ctx, history.InputKey(image.ID))
	if fault.Is(err, fault.NotFound) {
		return s.ledger.WriteInput(ctx, image.ID, inputOf(image, ""))
	}
	return err
}

// deletedMeanwhile removes what was written for an image whose row was deleted
// while it was being made.
func (s *service) deletedMeanwhile(ctx context.Context, image Image) error {
	if err := s.eraseObjects(ctx, Erasure{ID: image.ID, UserID: image.UserID}); err != nil {
		return err
	}
	return fault.New(fault.Conflict, "image_deleted", "The image was deleted while it was being made.")
}

// faultOf gives an error its kind: the context's errors are the client's
// leaving or the route's deadline.
func faultOf(err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return fault.Wrap(err, fault.Cancelled, "cancelled", "The client went away before the image was ready.")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "timeout", "The image took longer than allowed. Try again later.")
	default:
		return fault.Wrap(err, fault.Internal, "internal", "Something went wrong on this server. Tell its operator the request_id.")
	}
}

func failureOf(err error) Failure {
	var known *fault.Error
	if !errors.As(err, &known) {
		return Failure{Code: "internal", Detail: "Something went wrong on this server."}
	}
	return Failure{Code: known.Code, Detail: known.Detail}
}

// withID lets the client find the image that its fault is about.
func withID(err error, id string) error {
	var known *fault.Error
	if !errors.As(faultOf(err), &known) {
		return err
	}
	return known.With("id", id)
}
