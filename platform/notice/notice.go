// Package notice passes short notices between the processes of one installation
// through Redis. A notice is a hint that something changed, so that others need
// not wait until what they remember is too old. It is never the only way to
// learn of it: while Redis is away notices are lost, and whoever listens is told
// to take everything for changed once it is back.
package notice

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"llmhist/platform/redisclient"
)

const (
	// queued is how many notices wait to be sent; more are dropped.
	queued = 1024
	// maxNotice bounds what is taken from the wire.
	maxNotice = 1 << 10
	// silence is how long the connection may say nothing until it is asked, and
	// again until it is given up.
	silence = time.Second
	// The pause before another attempt to connect.
	firstPause, longestPause = 50 * time.Millisecond, 2 * time.Second
	// farewell is how long Close goes on sending what waits.
	farewell = redisclient.Deadline
)

// Notice says that something changed. It holds names and ids, never a secret.
type Notice struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Receiver is told what other processes announce. Its functions are called from
// one goroutine and must not block.
type Receiver struct {
	Receive func(n Notice)
	// Missed says that notices may have been lost: after every connection,
	// the first one too.
	Missed func()
}

// Board is this process's connection to the others. It owns a goroutine that
// sends and, after Listen, one that listens, until Close.
type Board struct {
	client  *redis.Client
	channel string
	self    string // tells own notices from those of others
	logger  *slog.Logger
	out     chan Notice

	ends    []context.CancelFunc
	group   sync.WaitGroup
	joined  atomic.Bool
	dropped atomic.Int64
}

// envelope is what travels.
type envelope struct {
	From string `json:"from"`
	Notice
}

// Open joins the processes that use the same Redis server and database number,
// to send. Close the board before the client.
func Open(client *redis.Client, logger *slog.Logger) *Board {
	b := &Board{
		client: client, channel: fmt.Sprintf("llmhist:notice:%d", client.Options().DB), // pub/sub knows no database numbers
		self: fmt.Sprintf("%016x", rand.Uint64()), logger: logger, out: make(chan Notice, queued),
	}
	b.begin(b.send)
	return b
}

// Listen tells receiver what the others announce. Call it once, before Close.
func (b *Board) Listen(receiver Receiver) {
	b.begin(func(ctx context.Context) { b.listen(ctx, receiver) })
}

func (b *Board) begin(work func(ctx context.Context)) {
	ctx, end := context.WithCancel(context.Background())
	b.ends = append(b.ends, end)
	b.group.Go(func() { work(ctx) })
}

// Publish tells the other processes. It never blocks and never fails: a notice
// that cannot be sent is counted and dropped.
func (b *Board) Publish(n Notice) {
	select {
	case b.out <- n:
	default:
		b.dropped.Add(1)
	}
}

// Dropped returns how many notices were not sent.
func (b *Board) Dropped() int64 { return b.dropped.Load() }

// Joined reports whether notices of others arrive now.
func (b *Board) Joined() bool { return b.joined.Load() }

// Close sends what waits, for a moment, and ends.
func (b *Board) Close() error {
	for _, end := range b.ends {
		end()
	}
	b.group.Wait()
	return nil
}

// send publishes in the order of Publish. A notice that fails is not kept:
// whoever reconnects is told that it missed some.
func (b *Board) send(ctx context.Context) {
	for {
		select {
		case n := <-b.out:
			b.publish(context.WithoutCancel(ctx), n)
		case <-ctx.Done():
			b.sendRest()
			return
		}
	}
}

func (b *Board) sendRest() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	for {
		select {
		case n := <-b.out:
			b.publish(ctx, n)
		default:
			return
		}
	}
}

func (b *Board) publish(ctx context.Context, n Notice) {
	ctx, cancel := context.WithTimeout(ctx, redisclient.Deadline)
	defer cancel()
	text, err := json.Marshal(envelope{b.self, n})
	if err == nil {
		err = b.client.Publish(ctx, b.channel, text).Err()
	}
	if err != nil && ctx.Err() == nil { // perhaps a connection from before the server was started again
		err = b.client.Publish(ctx, b.channel, text).Err()
	}
	if err != nil {
		b.dropped.Add(1)
		b.logger.DebugContext(ctx, "notice not sent", "kind", n.Kind, "cause", err)
	}
}

// listen holds one connection after the other until ctx ends.
func (b *Board) listen(ctx context.Context, receiver Receiver) {
	pause, told := firstPause, false
	for {
		joined, err := b.listenOnce(ctx, receiver)
		if ctx.Err() != nil {
			return
		}
		if joined {
			pause, told = firstPause, false
		}
		if !told {
			b.logger.WarnContext(ctx, "Redis does not answer; changes of other processes are noticed later", "cause", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause)): // not all processes at once
		}
		pause = min(2*pause, longestPause)
	}
}

// listenOnce passes notices on until the connection fails, and reports whether
// there was one.
func (b *Board) listenOnce(ctx context.Context, receiver Receiver) (joined bool, err error) {
	subscription := b.client.Subscribe(ctx) // no channel yet: nothing is dialled
	stop := context.AfterFunc(ctx, func() { _ = subscription.Close() })
	defer func() {
		stop()
		_ = subscription.Close()
		b.joined.Store(false)
	}()
	if err := subscription.Subscribe(ctx, b.channel); err != nil {
		return false, err
	}
	if _, err := subscription.ReceiveTimeout(ctx, silence); err != nil {
		return false, err
	}
	b.joined.Store(true)
	receiver.Missed()
	for asked := false; ; {
		message, err := subscription.ReceiveTimeout(ctx, silence)
		switch {
		case err == nil:
			asked = false
			b.pass(message, receiver)
		case !isTimeout(err) || asked:
			return true, err
		default:
			asked = true
			if err := subscription.Ping(ctx); err != nil {
				return true, err
			}
		}
	}
}

// pass gives a notice of another process to the receiver.
func (b *Board) pass(message any, receiver Receiver) {
	text, ok := message.(*redis.Message)
	if !ok || len(text.Payload) > maxNotice {
		return // the answer to a ping, or nothing of ours
	}
	var received envelope
	if err := json.Unmarshal([]byte(text.Payload), &received); err != nil || received.From == b.self {
		return
	}
	receiver.Receive(received.Notice)
}

func isTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}
