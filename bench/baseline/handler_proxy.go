package main

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"
)

// proxy passes a chat completion on as it is, and its answer back as it comes:
// the least that a gateway before an OpenAI-compatible service does.
func (h *handler) proxy(c echo.Context) error {
	if _, err := h.check(c.Request()); err != nil {
		return echo.ErrUnauthorized
	}
	request, err := http.NewRequestWithContext(c.Request().Context(), http.MethodPost, h.upstream+"/v1/chat/completions", http.MaxBytesReader(c.Response(), c.Request().Body, maxAnswer))
	if err != nil {
		return err
	}
	request.ContentLength = c.Request().ContentLength
	request.Header.Set("Content-Type", "application/json")
	response, err := h.client.Do(request)
	if err != nil {
		return echo.NewHTTPError(http.StatusBadGateway)
	}
	defer func() { _ = response.Body.Close() }()
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, response.Header.Get(echo.HeaderContentType))
	w.WriteHeader(response.StatusCode)
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			w.Flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
