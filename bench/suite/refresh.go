package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"llmhist/bench/load"
	"llmhist/bench/rig"
)

// refreshChain is the script of one session: every answer brings the token of
// the next request.
type refreshChain struct{ address, token string }

// Next spends the token.
func (c *refreshChain) Next() load.Request {
	body := fmt.Appendf(nil, `{"refreshToken":%q}`, c.token)
	return load.Request{Wire: load.Encode(http.MethodPost, "/auth/refresh", c.address, rig.JSONHeader(""), body)}
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
