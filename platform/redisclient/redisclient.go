// Package redisclient opens the connection to Redis that the rooms which use
// one share.
package redisclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	redislogging "github.com/redis/go-redis/v9/logging"

	"llmhist/platform/logging"
)

func init() { redislogging.Disable() } // what it has to say comes as an error too, and belongs in our log

// Deadline is how long a request waits for Redis: it must never slow the
// product down by more.
const Deadline = 250 * time.Millisecond

// Open connects to the server that address names, a redis:// or rediss:// URL.
// Every command fails after Deadline and is not repeated. The error is one line
// that names REDIS_URL and holds no password. Close the client at the end.
func Open(ctx context.Context, address logging.Secret) (*redis.Client, error) {
	options, err := redis.ParseURL(address.Reveal())
	if err != nil {
		return nil, errors.New("REDIS_URL is not a redis:// or rediss:// address")
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = 2*time.Second, Deadline, Deadline
	options.PoolTimeout, options.MaxRetries = Deadline, -1
	options.ContextTimeoutEnabled, options.DialerRetries = true, 1 // whoever can wait tries again by itself
	client := redis.NewClient(options)
	bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := client.Ping(bounded).Err(); err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("REDIS_URL: the server at %s does not answer: %s", options.Addr, withoutSecret(err, options.Password))
	}
	return client, nil
}

func withoutSecret(err error, secret string) string {
	if secret == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), secret, "***")
}
