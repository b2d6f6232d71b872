package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Account is somebody who signs in. What the server gives is filled in by
// API.SignIn.
type Account struct {
	Email    string `json:"email"`
	Password string `json:"password"`

	ID      int64  `json:"-"`
	Access  string `json:"-"`
	Refresh string `json:"-"`
}

// API calls the server at an address outside of measurements.
type API struct{ Base string }

// Register makes the account.
func (a API) Register(ctx context.Context, who Account) error {
	return a.post(ctx, "/auth/register", who, http.StatusCreated, nil)
}

// SignIn fills in the account's id and tokens.
func (a API) SignIn(ctx context.Context, who *Account) error {
	var answer struct {
		AccessToken, RefreshToken string
		User                      struct{ ID int64 }
	}
	if err := a.post(ctx, "/auth/login", who, http.StatusOK, &answer); err != nil {
		return err
	}
	who.Access, who.Refresh, who.ID = answer.AccessToken, answer.RefreshToken, answer.User.ID
	return nil
}

func (a API) post(ctx context.Context, path string, body any, want int, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Base+path, bytes.NewReader(data))
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
