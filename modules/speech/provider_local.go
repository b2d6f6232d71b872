package speech

import (
	"context"
	"errors"

	"llmhist/platform/fault"
	"llmhist/platform/flite"
)

const localName = "local"

// local speaks on this machine: English with the voices built into the binary,
// everything else with espeak-ng where that is installed.
type local struct {
	flite  fliteEngine
	espeak *espeak
}

// fliteEngine is what is used of *flite.Engine.
type fliteEngine interface {
	Available() error
	Voices() []flite.Voice
	Synthesize(ctx context.Context, p flite.Params) ([]byte, error)
	Close(ctx context.Context) error
}

func newLocal(engine fliteEngine, program *espeak) *local {
	return &local{flite: engine, espeak: program}
}

func (l *local) name() string { return localName }

func (l *local) models(ctx context.Context) []model {
	return []model{l.fliteModel(), l.espeakModel(ctx)}
}

func (l *local) speak(ctx context.Context, u utterance) (recording, error) {
	speak := l.speakFlite
	if u.model == espeakModel {
		speak = l.speakEspeak
	}
	sound, err := speak(ctx, u)
	if err != nil {
		return recording{}, localFault(ctx, err)
	}
	return recording{sound: sound, status: 200}, nil
}

// localFault gives the failure of a program on this machine its kind. Its own
// words stay in the log.
func localFault(ctx context.Context, err error) error {
	var known *fault.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case errors.Is(err, flite.ErrNothingToSay):
		field := nothingToSay()
		return fault.Wrap(err, fault.Invalid, field.Code, "text: "+field.Message)
	case errors.Is(err, flite.ErrAudioTooLong), errors.Is(err, errOutputTooLarge):
		return fault.Wrap(err, fault.TooLarge, "speech_too_long", "The speech would be longer than this server makes. Shorten the text or raise the speed.")
	default:
		return fault.Wrap(err, fault.Unavailable, "provider_unavailable",
			`The provider "local" failed to speak. Try again, or choose another model.`).With("provider", localName)
	}
}

func (l *local) close(ctx context.Context) error { return l.flite.Close(ctx) }
