package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"llmhist/platform/identity"
	"llmhist/platform/outbound"
)

// The bounds of one call where the configuration sets none: a picture can take
// minutes, and the route gives up after five.
const (
	usualFirstByte = 3 * time.Minute
	usualTotal     = 4*time.Minute + 30*time.Second
	usualBytes     = 32 << 20
)

// How many pictures are made by one provider at a time, and for how long a
// request waits for its turn, where the configuration says nothing. A picture
// counts until it is converted: this bounds the memory they take.
const (
	usualConcurrency = 64
	usualQueueWait   = time.Minute
)

// caller sends requests to one provider.
type caller struct {
	upstream Upstream
	client   *outbound.Client
}

func newCaller(upstream Upstream) *caller {
	limits := upstream.Limits.With(upstream.Timeouts)
	if limits.FirstByte <= 0 {
		limits.FirstByte = usualFirstByte
	}
	if limits.Total <= 0 {
		limits.Total = usualTotal
	}
	if limits.Concurrency <= 0 {
		limits.Concurrency = usualConcurrency
	}
	if limits.QueueWait == 0 {
		limits.QueueWait = usualQueueWait
	}
	return &caller{upstream: upstream, client: outbound.New(upstream.Name, limits)}
}

func (c *caller) postJSON(ctx context.Context, address string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode a provider request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("make a provider request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	return c.send(ctx, request)
}

// get asks for a picture. The error of a malformed address is not kept: it
// quotes the prompt.
func (c *caller) get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, badAnswer(errAddress, c.upstream.Name, "provider_bad_address", "has an address that cannot be used")
	}
	request.Header.Set("Accept", "image/png, image/jpeg, image/webp, image/gif")
	return c.send(ctx, request)
}

func (c *caller) send(ctx context.Context, request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", "llmhist")
	if id := identity.RequestID(ctx); id != "" {
		request.Header.Set("X-Request-Id", id)
	}
	c.upstream.authorize(request.Header)
	return c.client.Do(ctx, request)
}
