package lifetime

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// End is when OpenAI shuts a model down.
type End struct {
	On      time.Time // the first day without it
	Instead string    // what to use in its place
}

// Over reports whether the model is gone at a time.
func (e End) Over(now time.Time) bool { return !now.Before(e.On) }

// Date returns the day as it is written.
func (e End) Date() string { return e.On.Format(time.DateOnly) }

// What to use in place of models that end.
const (
	newerChat   = "a newer model (OpenAI named gpt-6-luna for the small ones)"
	newerImage  = "gpt-image-2"
	newerVoice  = "a server of your own with /v1/audio/speech such as Kokoro-FastAPI or LocalAI, or the local voices: OpenAI names no successor at this address"
	newerListen = "gpt-transcribe"
)

// wave is a group of models that end together.
type wave struct {
	on      time.Time
	instead string
	models  []string
}

// waves follow OpenAI's page of deprecations as of October 2026
// (https://platform.openai.com/docs/deprecations).
var waves = []wave{
	{day(2026, 5, 12), newerImage, []string{"dall-e-2", "dall-e-3"}},
	{day(2026, 10, 23), newerImage, []string{"gpt-image-1"}},
	{day(2026, 10, 23), newerChat, []string{"gpt-3.5-turbo", "gpt-4", "o1", "o3-mini", "o4-mini", "gpt-4.1-nano"}},
	{day(2026, 12, 1), newerImage, []string{"gpt-image-1-mini", "gpt-image-1.5", "chatgpt-image-latest"}},
	{day(2026, 12, 11), newerChat, []string{"gpt-5", "gpt-5-mini", "gpt-5-nano", "o3"}},
	{day(2027, 1, 6), newerVoice, []string{"tts-1", "tts-1-hd", "gpt-4o-mini-tts"}},
	{day(2027, 1, 14), newerChat, []string{"gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"}},
	{day(2027, 1, 20), "the newest model of its family", []string{"gpt-audio", "gpt-realtime"}},
	{day(2027, 2, 26), newerListen, []string{"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"}},
	{day(2027, 4, 1), newerChat, []string{"gpt-5.1"}},
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// snapshot is the date that a frozen version of a model has at its end:
// gpt-4o-2024-08-06, gpt-4-0613.
var snapshot = regexp.MustCompile(`-(\d{4}-\d{2}-\d{2}|\d{4})$`)

// ModelEnd returns when OpenAI shuts the model down, also when it is named as
// "openai/model" or by one of its snapshots. false: no end is known.
func ModelEnd(model string) (End, bool) {
	name := strings.TrimPrefix(strings.ToLower(model), "openai/")
	name = snapshot.ReplaceAllString(name, "")
	for _, w := range waves {
		if slices.Contains(w.models, name) {
			return End{On: w.on, Instead: w.instead}, true
		}
	}
	return End{}, false
}
