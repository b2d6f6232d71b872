package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"llmhist/bench/load"
)

// account is somebody who signs in.
type account struct {
	Email    string `json:"email"`
	Password string `json:"password"`

	id              int64
	access, refresh string
}

// api calls the server outside of measurements.
type api struct{ base string }

func (a api) register(ctx context.Context, who account) error {
	return a.post(ctx, "/auth/register", who, http.StatusCreated, nil)
}

// signIn fills in the account's id and tokens.
func (a api) signIn(ctx context.Context, who *account) error {
	var answer struct {
		AccessToken, RefreshToken string
		User                      struct{ ID int64 }
	}
	if err := a.post(ctx, "/auth/login", who, http.StatusOK, &answer); err != nil {
		return err
	}
	who.access, who.refresh, who.id = answer.AccessToken, answer.RefreshToken, answer.User.ID
	return nil
}

func (a api) post(ctx context.Context, path string, body any, want int, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != want {
		return fmt.Errorf("POST %s answered %d: %.300s", path, response.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// refreshChain is the script of one session: every answer brings the token of
// the next request.
type refreshChain struct{ address, token string }

// Next spends the token.
func (c *refreshChain) Next() load.Request {
	body := fmt.Appendf(nil, `{"refreshToken":%q}`, c.token)
	return load.Request{Wire: load.Encode(http.MethodPost, "/auth/refresh", c.address, jsonHeader(""), body)}
}

// Judge keeps the new token.
func (c *refreshChain) Judge(status int, body []byte) error {
	if status != http.StatusOK {
		return load.Unexpected(status)
	}
	var answer struct{ RefreshToken string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.RefreshToken == "" || answer.RefreshToken == c.token {
		return errNoToken
	}
	c.token = answer.RefreshToken
	return nil
}

var errNoToken = errors.New("answer without a new refresh token")

// jsonHeader returns the header of a JSON request by whoever has the token.
func jsonHeader(token string) http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}
