package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

const maxAnswer = 16 << 20

// completion is a whole answer or a piece of one.
type completion struct {
	Choices []struct {
		Message struct{ Content string } `json:"message"`
		Delta   struct{ Content string } `json:"delta"`
	} `json:"choices"`
}

// chat passes a message on and the answer back, as llmhist's route looks from
// outside.
func (h *handler) chat(c echo.Context) error {
	if _, err := h.check(c.Request()); err != nil {
		return echo.ErrUnauthorized
	}
	var in struct {
		Message string `json:"message"`
		Stream  bool   `json:"stream"`
	}
	if err := c.Bind(&in); err != nil {
		return err
	}
	response, err := h.ask(c.Request(), in.Message, in.Stream)
	if err != nil {
		return echo.NewHTTPError(http.StatusBadGateway)
	}
	defer func() { _ = response.Body.Close() }()
	if in.Stream {
		return relay(c, response.Body)
	}
	var answer completion
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil || len(answer.Choices) == 0 {
		return echo.NewHTTPError(http.StatusBadGateway)
	}
	return c.JSON(http.StatusOK, map[string]string{"role": "assistant", "content": answer.Choices[0].Message.Content, "model": "demo-1"})
}

func (h *handler) ask(r *http.Request, message string, stream bool) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{
		"model": "demo-1", "stream": stream, "messages": []map[string]string{{"role": "user", "content": message}},
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, h.upstream+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("upstream answered %d", response.StatusCode)
	}
	return response, nil
}

// relay turns each piece of the upstream's stream into one delta event, sent at
// once.
func relay(c echo.Context, upstream io.Reader) error {
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "text/event-stream")
	w.WriteHeader(http.StatusOK)
	var whole strings.Builder
	send := func(event string, data any) error {
		text, err := json.Marshal(data)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text); err != nil {
			return err
		}
		w.Flush()
		return nil
	}
	lines := bufio.NewScanner(io.LimitReader(upstream, maxAnswer))
	for lines.Scan() {
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !isData || string(data) == "[DONE]" {
			continue
		}
		var piece completion
		if err := json.Unmarshal(data, &piece); err != nil {
			return err
		}
		if len(piece.Choices) == 0 || piece.Choices[0].Delta.Content == "" {
			continue
		}
		whole.WriteString(piece.Choices[0].Delta.Content)
		if err := send("delta", map[string]string{"content": piece.Choices[0].Delta.Content}); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return send("done", map[string]string{"role": "assistant", "content": whole.String(), "model": "demo-1"})
}
