package speech

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"llmhist/platform/audio"
	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/history"
	"llmhist/platform/outbound"
	"llmhist/platform/usage"
	"llmhist/platform/web"
)

// How long it may take to put away an outcome after the request has ended.
const (
	storeTime  = 30 * time.Second
	settleTime = 10 * time.Second
)

// planned makes the conversion one that the utterance's model speaks.
func (c *Conversion) planned(ctx context.Context, u utterance) {
	c.Text, c.Language, c.Voice, c.Speed, c.Format = u.text, u.language, u.voice, u.speed, u.format
	c.Provider, c.Model = u.provider.name(), u.model
	usage.Update(ctx, func(f *usage.Figures) { f.Provider, f.Model = c.Provider, c.Model })
}

// accept stores the parameters, also of a client that has left already: the
// row exists, and with it a record will.
func (s *service) accept(ctx context.Context, c Conversion) error {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return s.ledger.WriteInput(detached, c.ID, inputOf(c))
}

// make stores the parameters and asks the providers in turn until one speaks.
// Only a provider's own failure leads to the next one.
func (s *service) make(ctx context.Context, c *Conversion, ways []utterance) ([]byte, error) {
	if err := s.accept(ctx, *c); err != nil {
		return nil, err
	}
	for i, way := range ways {
		c.planned(ctx, way)
		sound, err := s.speak(ctx, c, way)
		if err == nil {
			return sound, nil
		}
		if i == len(ways)-1 || !providersOwn(err) {
			return nil, err
		}
		s.logger.WarnContext(ctx, "speech provider failed, the next one takes over",
			"provider", c.Provider, "model", c.Model, "code", fault.CodeOf(err))
	}
	return nil, errors.New("speech: a plan without any way")
}

// speak lets the provider speak, converts what it made if need be, and writes
// down how that went.
func (s *service) speak(ctx context.Context, c *Conversion, way utterance) ([]byte, error) {
	began := s.now()
	made, err := way.provider.speak(ctx, way)
	if err == nil && way.format != way.native {
		made.sound, err = s.transcoder.convert(ctx, made.sound, way.native, way.format)
	}
	c.Latency = s.now().Sub(began).Truncate(time.Millisecond)
	if err != nil && ctx.Err() != nil { // whatever the provider makes of it
		err = ctx.Err()
	}
	if err != nil {
		c.StatusCode = statusOf(err)
		return nil, err
	}
	c.StatusCode, c.CostUSD = made.status, way.cost
	return made.sound, c.measure(made.sound)
}

// measure takes size and duration from the sound itself.
func (c *Conversion) measure(sound []byte) error {
	duration, err := audio.Duration(sound, c.Format)
	if err != nil {
		return wrongMedia(c.Provider, err)
	}
	c.Duration, c.Size = duration.Round(time.Millisecond), int64(len(sound))
	return nil
}

// providersOwn reports a failure that another provider may not have.
func providersOwn(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Timeout) || fault.Is(err, fault.BadUpstream)
}

// statusOf returns the status that a provider failed with: its own where one
// came, otherwise what the failure amounts to.
func statusOf(err error) int {
	var upstream *outbound.Upstream
	if errors.As(err, &upstream) {
		return upstream.Status
	}
	return web.StatusOf(err)
}

// complete puts away the sound, the record, the index line and the row, in this
// order. A client that leaves now does not undo it.
func (s *service) complete(ctx context.Context, c Conversion, sound []byte) (Conversion, error) {
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	c.Status = StatusCompleted
	c.UpdatedAt = s.now().UTC().Truncate(time.Millisecond)
	usage.Update(ctx, func(f *usage.Figures) { f.OutputBytes = c.Size })
	if err := s.store(storing, c, sound); err != nil {
		return Conversion{}, s.giveUp(ctx, c, err)
	}
	usage.Update(ctx, func(f *usage.Figures) { f.CostUSD = c.CostUSD })
	// From here on the history is complete. If the row does not follow,
	// Reconcile brings it after.
	err := s.repository.Finish(storing, c)
	if fault.Is(err, fault.Conflict) {
		err = s.reinstate(storing, c, func(ctx context.Context) error {
			if err := s.store(ctx, c, sound); err != nil {
				return err
			}
			return s.repository.Finish(ctx, c)
		})
	}
	if fault.Is(err, fault.NotFound) {
		err = s.deletedMeanwhile(storing, c)
	}
	if err != nil {
		return Conversion{}, withID(err, c.ID)
	}
	return s.linked(storing, c)
}

func (s *service) store(ctx context.Context, c Conversion, sound []byte) error {
	options := blob.PutOptions{ContentType: c.Format.ContentType()}
	stored, err := s.ledger.Bucket().Put(ctx, c.MediaKey(), bytes.NewReader(sound), options)
	if err != nil {
		return err
	}
	if err := s.ledger.WriteRecord(ctx, c.ID, recordOf(c, stored.SHA256)); err != nil {
		return err
	}
	return s.ledger.AppendIndex(ctx, c.UserID, c.ID)
}

// giveUp records why there is no speech and returns the fault for the client.
func (s *service) giveUp(ctx context.Context, c Conversion, cause error) error {
	failed := faultOf(cause)
	c.Status = StatusFailed
	if failed.Kind == fault.Cancelled {
		c.Status = StatusCancelled
	}
	if c.StatusCode == 0 {
		c.StatusCode = web.StatusOf(failed)
	}
	c.Failure = &Failure{Code: failed.Code, Detail: failed.Detail}
	c.UpdatedAt = s.now().UTC().Truncate(time.Millisecond)
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := s.settle(detached, c)
	if fault.Is(err, fault.Conflict) {
		err = s.reinstate(detached, c, func(ctx context.Context) error { return s.settle(ctx, c) })
	}
	if fault.Is(err, fault.NotFound) {
		return withID(s.deletedMeanwhile(detached, c), c.ID)
	}
	if err != nil { // the client gets the first cause; Reconcile tries again
		s.logger.ErrorContext(ctx, "the outcome of a conversion could not be stored", "id", c.ID, "code", fault.CodeOf(err), "cause", err)
	}
	return failed.With("id", c.ID)
}

// settle stores an outcome without speech: no sound, the input if it is missing,
// a record, an index line, the row. It may be repeated.
func (s *service) settle(ctx context.Context, c Conversion) error {
	c.Duration, c.Size, c.CostUSD = 0, 0, 0
	if err := s.deleteMedia(ctx, c.ID); err != nil {
		return err
	}
	if err := s.ensureInput(ctx, c); err != nil {
		return err
	}
	if err := s.ledger.WriteRecord(ctx, c.ID, recordOf(c, "")); err != nil {
		return err
	}
	if err := s.ledger.EnsureIndex(ctx, c.UserID, c.ID); err != nil {
		return err
	}
	return s.repository.Finish(ctx, c)
}

// ensureInput stores the parameters of a conversion that has none stored: the
// store was away when the request came, or the process was stopped right after
// the row.
func (s *service) ensureInput(ctx context.Context, c Conversion) error {
	_, err := s.ledger.Bucket().Stat(ctx, history.InputKey(c.ID))
	if fault.Is(err, fault.NotFound) {
		return s.ledger.WriteInput(ctx, c.ID, inputOf(c))
	}
	return err
}

func (s *service) deleteMedia(ctx context.Context, id string) error {
	none := Conversion{ID: id, Status: StatusCompleted}
	for _, format := range []audio.Format{audio.MP3, audio.WAV} {
		none.Format = format
		if err := s.ledger.Bucket().Delete(ctx, none.MediaKey()); err != nil {
			return err
		}
	}
	return nil
}

// deletedMeanwhile removes what was written for a conversion whose row was
// deleted while it was being made.
func (s *service) deletedMeanwhile(ctx context.Context, c Conversion) error {
	if err := s.eraseObjects(ctx, Erasure{ID: c.ID, UserID: c.UserID}); err != nil {
		return err
	}
	return fault.New(fault.Conflict, "speech_deleted", "The speech was deleted while it was being made.")
}

// faultOf gives an error its kind; what the context says is put in the words of
// this module.
func faultOf(err error) *fault.Error {
	failed := web.Fault(err)
	switch failed.Kind {
	case fault.Cancelled:
		return fault.Wrap(err, fault.Cancelled, failed.Code, "The client went away before the speech was ready.")
	case fault.Timeout:
		if failed.Code == "timeout" {
			return fault.Wrap(err, fault.Timeout, failed.Code, fmt.Sprintf("The speech took longer than the %v it may take. Shorten the text or try again later.", generateTimeout))
		}
	}
	return failed
}

// withID lets the client find the conversion that its fault is about.
func withID(err error, id string) error { return faultOf(err).With("id", id) }

// statusInterrupted is recorded for what this process did not live to finish.
const statusInterrupted = http.StatusServiceUnavailable
