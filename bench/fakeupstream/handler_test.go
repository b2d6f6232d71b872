package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func ask(t *testing.T, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	handler, err := newHandler(shape{answerBytes: 1000, chunks: 7})
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder
}

func TestChatAnswersTheSameTextWholeAndStreamed(t *testing.T) {
	var whole struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	recorder := ask(t, http.MethodPost, "/v1/chat/completions", `{"messages":[{"role":"user","content":"x"}]}`)
	if err := json.Unmarshal(recorder.Body.Bytes(), &whole); err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 1 || len(whole.Choices[0].Message.Content) != 1000 || whole.Usage.CompletionTokens != 7 {
		t.Fatalf("whole answer %+v", whole)
	}

	recorder = ask(t, http.MethodPost, "/v1/chat/completions", `{"stream":true,"messages":[{"role":"user","content":"x"}]}`)
	text, deltas := "", 0
	for line := range strings.Lines(recorder.Body.String()) {
		data, isData := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !isData || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		for _, choice := range chunk.Choices {
			text += choice.Delta.Content
			if choice.Delta.Content != "" {
				deltas++
			}
		}
	}
	if text != whole.Choices[0].Message.Content || deltas != 7 {
		t.Errorf("%d pieces with the text %q", deltas, text)
	}
	if !strings.HasSuffix(recorder.Body.String(), "data: [DONE]\n\n") {
		t.Error("the stream has no end mark")
	}
}

func TestAPictureHasTheSizeThatWasAsked(t *testing.T) {
	recorder := ask(t, http.MethodPost, "/v1/images/generations", `{"prompt":"x","size":"64x32"}`)
	var answer struct {
		Data []struct {
			Base64 string `json:"b64_json"`
		}
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || len(answer.Data) != 1 {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	data, err := base64.StdEncoding.DecodeString(answer.Data[0].Base64)
	if err != nil {
		t.Fatal(err)
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width != 64 || config.Height != 32 {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestSpeechIsOneSecondOfWAV(t *testing.T) {
	recorder := ask(t, http.MethodPost, "/v1/audio/speech", `{"input":"x"}`)
	if got := recorder.Body.Len(); recorder.Code != http.StatusOK || got != 44+2*22_050 {
		t.Errorf("status %d, %d bytes", recorder.Code, got)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	for name, request := range map[string][2]string{
		"no JSON":          {"/v1/chat/completions", "x"},
		"no messages":      {"/v1/chat/completions", "{}"},
		"no prompt":        {"/v1/images/generations", `{"size":"8x8"}`},
		"an absurd size":   {"/v1/images/generations", `{"prompt":"x","size":"99999x1"}`},
		"no size":          {"/v1/images/generations", `{"prompt":"x"}`},
		"nothing to speak": {"/v1/audio/speech", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			if recorder := ask(t, http.MethodPost, request[0], request[1]); recorder.Code != http.StatusBadRequest {
				t.Errorf("status %d", recorder.Code)
			}
		})
	}
}

func TestShapesOutOfBoundsAreRefused(t *testing.T) {
	for name, s := range map[string]shape{
		"empty answer":          {answerBytes: 0, chunks: 1},
		"more chunks than text": {answerBytes: 5, chunks: 6},
		"endless delay":         {answerBytes: 5, chunks: 1, delay: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newHandler(s); err == nil {
				t.Error("was accepted")
			}
		})
	}
}
