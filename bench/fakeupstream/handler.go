package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// shape is what the answers look like.
type shape struct {
	answerBytes int
	chunks      int
	delay       time.Duration // before each chunk
}

// The bounds of a shape and of a request.
const (
	maxAnswerBytes = 1 << 20
	maxChunks      = 10_000
	maxDelay       = 10 * time.Second
	maxRequest     = 8 << 20
	maxSide        = 2048
	maxPictures    = 16
)

func (s shape) check() error {
	if s.answerBytes < 1 || s.answerBytes > maxAnswerBytes || s.chunks < 1 || s.chunks > min(s.answerBytes, maxChunks) {
		return fmt.Errorf("an answer has 1 to %d bytes in 1 to %d chunks, none of them empty", maxAnswerBytes, maxChunks)
	}
	if s.delay < 0 || s.delay > maxDelay {
		return fmt.Errorf("the delay of a chunk is 0 to %s", maxDelay)
	}
	return nil
}

// handler answers with what was made before.
type handler struct {
	shape  shape
	chat   []byte
	events [][]byte // of a stream, the last with usage and the end mark
	speech []byte   // a WAV file

	mu       sync.Mutex
	pictures map[string][]byte // whole answers by size, at most maxPictures
}

func newHandler(s shape) (http.Handler, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	text := answerText(s.answerBytes)
	h := &handler{shape: s, chat: wholeAnswer(text, s.chunks), events: streamedAnswer(text, s.chunks), speech: tone(), pictures: map[string][]byte{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", h.listModels)
	mux.HandleFunc("POST /v1/chat/completions", h.complete)
	mux.HandleFunc("POST /v1/images/generations", h.draw)
	mux.HandleFunc("POST /v1/audio/speech", h.speak)
	return mux, nil
}

func (h *handler) listModels(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, []byte(`{"object":"list","data":[`+
		`{"id":"demo-1","object":"model","created":1767225600,"owned_by":"bench"},`+
		`{"id":"demo-image","object":"model","created":1767225600,"owned_by":"bench"},`+
		`{"id":"demo-voice","object":"model","created":1767225600,"owned_by":"bench"}]}`))
}

func (h *handler) complete(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Stream   bool              `json:"stream"`
		Messages []json.RawMessage `json:"messages"`
	}
	if !read(w, r, &request) {
		return
	}
	if len(request.Messages) == 0 {
		refuse(w, "messages must not be empty")
		return
	}
	if !request.Stream {
		writeJSON(w, http.StatusOK, h.chat)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	h.stream(w, r)
}

// stream sends each event in a packet of its own, as a model does that has just
// made a token.
func (h *handler) stream(w http.ResponseWriter, r *http.Request) {
	flusher := http.NewResponseController(w)
	for _, event := range h.events {
		if h.shape.delay > 0 {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(h.shape.delay):
			}
		}
		if _, err := w.Write(event); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
	}
}

func (h *handler) draw(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Prompt string `json:"prompt"`
		Size   string `json:"size"`
	}
	if !read(w, r, &request) {
		return
	}
	answer, err := h.picture(request.Size)
	if err != nil || request.Prompt == "" {
		refuse(w, "a prompt and a size such as 256x256 are needed")
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

var errPictures = errors.New("a size is WIDTHxHEIGHT of at most 2048, and only a few are kept")

func (h *handler) picture(size string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if answer, made := h.pictures[size]; made {
		return answer, nil
	}
	first, second, _ := strings.Cut(size, "x")
	width, err := strconv.Atoi(first)
	height, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil || min(width, height) < 1 || max(width, height) > maxSide || len(h.pictures) >= maxPictures {
		return nil, errPictures
	}
	answer, err := pictureAnswer(width, height)
	if err != nil {
		return nil, err
	}
	h.pictures[size] = answer
	return answer, nil
}

func (h *handler) speak(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Input string `json:"input"`
	}
	if !read(w, r, &request) {
		return
	}
	if request.Input == "" {
		refuse(w, "input must not be empty")
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	write(w, http.StatusOK, h.speech)
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		refuse(w, "the body must be a JSON object")
		return false
	}
	return true
}

func refuse(w http.ResponseWriter, message string) {
	writeJSON(w, http.StatusBadRequest, fmt.Appendf(nil, `{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":null}}`, message))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that went away is no fault of this server
}
