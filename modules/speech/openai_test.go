package speech

import (
	"context"
	"net/http"
	"testing"

	"llmhist/platform/audio"
	"llmhist/platform/testkit"
)

func TestOpenAIRequestsAreSpokenIntoTheSameHistory(t *testing.T) {
	for name, test := range map[string]struct {
		body  map[string]any
		voice string
	}{
		"a voice of the model":      {map[string]any{"voice": "bea", "language": "es"}, "bea"},
		"a voice as an object":      {map[string]any{"voice": map[string]any{"id": "ann"}}, "ann"},
		"a voice of OpenAI":         {map[string]any{"voice": "alloy"}, "ann"},
		"no voice":                  {map[string]any{}, "ann"},
		"fields that only it knows": {map[string]any{"voice": "ann", "instructions": "be kind", "stream_format": "audio", "speed": 1}, "ann"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake"))
			server := testkit.Serve(t, b.Mount)
			test.body["model"], test.body["input"] = "fake/one", "Good morning."
			answer := server.Do("POST", "/v1/audio/speech", testkit.User(1), test.body)
			if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "audio/wav" {
				t.Fatalf("%d %s %.200s", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
			}
			if _, err := audio.Duration(answer.Body, audio.WAV); err != nil {
				t.Errorf("the answer is no sound: %v", err)
			}
			kept := server.Do("GET", answer.Header.Get("Location"), testkit.User(1), nil).JSON(t)
			if kept["status"] != "completed" || kept["voice"] != test.voice || kept["text"] != "Good morning." {
				t.Errorf("kept as %v", kept)
			}
		})
	}
}

func TestOpenAIRequestsPreferMP3(t *testing.T) {
	fake := newFake(t, "fake")
	fake.list[0].formats = []audio.Format{audio.WAV, audio.MP3}
	fake.serve = func(context.Context, utterance) (recording, error) {
		return recording{sound: mp3Frames(20), status: 200}, nil
	}
	server := testkit.Serve(t, newBench(t, fake).Mount)
	answer := server.Do("POST", "/v1/audio/speech", testkit.User(1), map[string]any{"model": "fake/one", "input": "Hi", "voice": "nova"})
	if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("%d %s %.200s", answer.Status, answer.Header.Get("Content-Type"), answer.Body)
	}
}

func TestOpenAISpeechIsRefusedInItsTerms(t *testing.T) {
	for name, test := range map[string]struct {
		body        map[string]any
		status      int
		code, param string
	}{
		"an unknown model":    {map[string]any{"model": "tts-9", "input": "Hi"}, 404, "model_not_found", "model"},
		"no model":            {map[string]any{"input": "Hi"}, 400, "validation_failed", "model"},
		"no input":            {map[string]any{"model": "fake/one"}, 400, "validation_failed", "input"},
		"an unknown voice":    {map[string]any{"model": "fake/one", "input": "Hi", "voice": "nobody"}, 400, "validation_failed", "voice"},
		"a format not made":   {map[string]any{"model": "fake/one", "input": "Hi", "response_format": "mp3"}, 400, "validation_failed", "response_format"},
		"a format not known":  {map[string]any{"model": "fake/one", "input": "Hi", "response_format": "opus"}, 400, "validation_failed", "response_format"},
		"a stream of events":  {map[string]any{"model": "fake/one", "input": "Hi", "stream_format": "sse"}, 400, "validation_failed", "stream_format"},
		"a speed not reached": {map[string]any{"model": "fake/one", "input": "Hi", "speed": 9}, 400, "validation_failed", "speed"},
		"a voice of no kind":  {map[string]any{"model": "fake/one", "input": "Hi", "voice": 7}, 400, "validation_failed", "voice"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newFake(t, "fake"))
			answer := testkit.Serve(t, b.Mount).Do("POST", "/v1/audio/speech", testkit.User(1), test.body)
			problem, _ := answer.JSON(t)["error"].(map[string]any)
			if answer.Status != test.status || problem["code"] != test.code || problem["param"] != test.param {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			if keys := b.objects(t); len(keys) != 0 {
				t.Errorf("a refused request left %v", keys)
			}
		})
	}
}
