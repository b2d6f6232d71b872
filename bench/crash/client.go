package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// patience is how long a client waits for an answer before it calls the server
// hung.
const patience = time.Minute

type object = map[string]any

// client sends requests to one start of the server.
type client struct {
	url     string
	http    *http.Client
	slowest func(path string, took time.Duration) // told how long every answer took
}

func newClient(url string) *client {
	return &client{url: url, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
		Timeout:   patience,
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// answer is a response that was read completely, or err when there is none.
type answer struct {
	status int
	body   []byte
	err    error // the connection broke: nobody knows whether the request was carried out
}

// fields returns the members of a JSON answer; none when it is not JSON.
func (a answer) fields() object {
	var members object
	_ = json.Unmarshal(a.body, &members)
	return members
}

func (a answer) text(name string) string {
	value, _ := a.fields()[name].(string)
	return value
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %.300s", a.status, a.body)
}

// is reports whether the answer came with one of the statuses.
func (a answer) is(statuses ...int) bool {
	for _, status := range statuses {
		if a.err == nil && a.status == status {
			return true
		}
	}
	return false
}

// unavailable reports an honest "not now": a problem that says so. Nobody knows
// what became of the request, as after a broken connection.
func (a answer) unavailable() bool {
	return a.is(http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage) && a.text("code") != ""
}

// call sends a request; body nil sends none.
func (c *client) call(method, path, credential string, body any) answer {
	began := time.Now()
	response, err := c.open(context.Background(), method, path, credential, body)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return answer{err: err}
	}
	if c.slowest != nil {
		c.slowest(method+" "+path, time.Since(began))
	}
	return answer{status: response.StatusCode, body: data}
}

func (c *client) open(ctx context.Context, method, path, credential string, body any) (*http.Response, error) {
	if strings.HasPrefix(path, "/") {
		path = c.url + path
	}
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, path, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	return c.http.Do(request)
}

// unexpected is an answer with another status than the one that had to come.
type unexpected struct {
	what string
	got  answer
}

func (u *unexpected) Error() string { return u.what + ": " + u.got.String() }

// find sends a GET and returns its JSON, or an error for any other status.
func (c *client) find(path, credential string) (object, error) {
	got := c.call(http.MethodGet, path, credential, nil)
	if !got.is(http.StatusOK) {
		return nil, &unexpected{"GET " + path, got}
	}
	return got.fields(), nil
}

// absent returns an error unless a GET answers 404.
func (c *client) absent(path, credential string) error {
	if got := c.call(http.MethodGet, path, credential, nil); !got.is(http.StatusNotFound) {
		return &unexpected{"after its deletion GET " + path, got}
	}
	return nil
}

// pages calls visit with every item of a list, page after page, and fails when
// an item is listed twice or the list does not have as many as it says.
func (c *client) pages(path, noun, credential string, visit func(item object) error) error {
	seen := map[string]bool{}
	for page := 1; ; page++ {
		list, err := c.find(fmt.Sprintf("%s?per_page=100&page=%d", path, page), credential)
		if err != nil {
			return err
		}
		items, _ := list[noun].([]any)
		for _, one := range items {
			item, _ := one.(object)
			id := fmt.Sprint(item["id"])
			if seen[id] {
				return fmt.Errorf("GET %s lists %s twice", path, id)
			}
			seen[id] = true
			if err := visit(item); err != nil {
				return err
			}
		}
		if len(items) < 100 {
			if total, _ := list["total"].(float64); int(total) != len(seen) {
				return fmt.Errorf("GET %s lists %d and says that there are %v", path, len(seen), list["total"])
			}
			return nil
		}
	}
}

// ready waits until the server calls itself ready.
func (c *client) ready(within time.Duration) (time.Duration, error) {
	began := time.Now()
	for {
		got := c.call(http.MethodGet, "/readyz", "", nil)
		took := time.Since(began)
		if got.is(http.StatusOK) {
			return took, nil
		}
		if took > within {
			return took, errors.New("the server is not ready again: " + got.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}
