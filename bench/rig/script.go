package rig

import (
	"net/http"

	"llmhist/bench/load"
)

// Script makes the conversation with a server at an address.
type Script func(address string) func(n int) load.Script

// Get asks for one path again and again, as whoever has the token; "" = nobody.
func Get(path, token string) Script {
	return func(address string) func(int) load.Script {
		return load.Repeat(load.Request{Wire: load.Encode(http.MethodGet, path, address, bearer(token), nil)}, http.StatusOK)
	}
}

// Post sends one JSON body again and again and wants one status.
func Post(path, token, body string, want int) Script {
	return func(address string) func(int) load.Script {
		wire := load.Encode(http.MethodPost, path, address, JSONHeader(token), []byte(body))
		return load.Repeat(load.Request{Wire: wire}, want)
	}
}

// GetEach asks for one path after the other and begins anew after the last.
// Each connection begins at another one.
func GetEach(paths []string, token string) Script {
	return func(address string) func(int) load.Script {
		wires := make([][]byte, len(paths))
		for i, path := range paths {
			wires[i] = load.Encode(http.MethodGet, path, address, bearer(token), nil)
		}
		return func(n int) load.Script { return &cycle{wires: wires, next: n} }
	}
}

// cycle is the script of one connection of GetEach.
type cycle struct {
	wires [][]byte
	next  int
}

// Next moves on to the next path.
func (c *cycle) Next() load.Request {
	wire := c.wires[c.next%len(c.wires)]
	c.next++
	return load.Request{Wire: wire}
}

// Judge wants the status of a page.
func (c *cycle) Judge(status int, _ []byte) error {
	if status != http.StatusOK {
		return load.Unexpected(status)
	}
	return nil
}

func bearer(token string) http.Header {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

// JSONHeader returns the header of a JSON request by whoever has the token.
func JSONHeader(token string) http.Header {
	header := bearer(token)
	header.Set("Content-Type", "application/json")
	return header
}
