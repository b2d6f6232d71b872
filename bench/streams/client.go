package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"llmhist/bench/load"
)

// plan is streams that are opened at once.
type plan struct {
	address, token string
	streams        int
}

// outcomes counts how streams ended.
type outcomes struct {
	whole   int
	refused int // with 503 and Retry-After, instead of a stream
	lost    int
	reasons map[string]int // of those that were lost
}

const (
	streamLimit  = 5 * time.Minute
	connectLimit = 50 // connections that are being made at once
	readBuffer   = 2 << 10
)

var errRefused = errors.New("refused")

// run opens the streams and reads each to its end.
func (p plan) run(ctx context.Context) (outcomes, error) {
	result := outcomes{reasons: map[string]int{}}
	ctx, cancel := context.WithTimeout(ctx, streamLimit)
	defer cancel()
	connecting := make(chan struct{}, connectLimit)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range p.streams {
		all.Go(func() {
			err := p.stream(ctx, connecting)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				result.whole++
			case errors.Is(err, errRefused):
				result.refused++
			default:
				result.lost++
				result.reasons[err.Error()]++
			}
		})
	}
	all.Wait()
	return result, ctx.Err()
}

const question = `{"model":"demo-1","stream":true,"messages":[{"role":"user","content":"Hello?"}]}`

// stream asks for one answer and reads it.
func (p plan) stream(ctx context.Context, connecting chan struct{}) error {
	connecting <- struct{}{}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", p.address)
	<-connecting
	if err != nil {
		return errors.New("cannot connect")
	}
	defer func() { _ = connection.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.token}}
	if _, err := connection.Write(load.Encode(http.MethodPost, "/v1/chat/completions", p.address, header, []byte(question))); err != nil {
		return errors.New("cannot send")
	}
	reader := bufio.NewReaderSize(connection, readBuffer)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return errors.New("no answer")
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "" {
		return errRefused
	}
	if response.StatusCode != http.StatusOK {
		start, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("status %d: %s", response.StatusCode, start)
	}
	return readToDone(response.Body)
}

// readToDone reads to the end and wants the last event to be [DONE].
func readToDone(body io.Reader) error {
	var last []byte
	piece := make([]byte, readBuffer)
	for {
		n, err := body.Read(piece)
		last = append(last, piece[:n]...)
		last = last[max(0, len(last)-64):]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.New("the stream broke")
		}
	}
	if !bytes.HasSuffix(bytes.TrimSpace(last), []byte("data: [DONE]")) {
		return fmt.Errorf("the stream ended without [DONE], but with %q", last)
	}
	return nil
}

// later returns the memory of a process after it has rested.
func later(ctx context.Context, pid int) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(restTime):
	}
	return load.RSS(pid)
}
