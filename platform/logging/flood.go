package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// floodLines is how many warnings and errors of one kind are written in a
	// minute. During an outage every request fails in the same way.
	floodLines  = 60
	floodWindow = time.Minute
	// floodKinds bounds the memory.
	floodKinds = 1000
)

// floodHandler leaves out warnings and errors of a kind that came too often,
// and says with the next line of the kind how many those were.
type floodHandler struct {
	slog.Handler
	flood *flood
}

// flood counts the lines of each kind.
type flood struct {
	now func() time.Time

	mu    sync.Mutex
	kinds map[string]*floodCount
}

type floodCount struct {
	since   time.Time
	lines   int
	leftOut int
}

func newFloodHandler(to slog.Handler) floodHandler {
	return floodHandler{to, &flood{now: time.Now, kinds: map[string]*floodCount{}}}
}

func (h floodHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, record)
	}
	write, leftOut := h.flood.take(kindOf(record))
	if !write {
		return nil
	}
	if leftOut > 0 {
		record.AddAttrs(slog.Int("left_out", leftOut))
	}
	return h.Handler.Handle(ctx, record)
}

func (h floodHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return floodHandler{h.Handler.WithAttrs(attrs), h.flood}
}

func (h floodHandler) WithGroup(name string) slog.Handler {
	return floodHandler{h.Handler.WithGroup(name), h.flood}
}

// kindOf is the message, which is static, and what it is about.
func kindOf(record slog.Record) string {
	kind := record.Message
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "code" || attr.Key == "check" {
			kind += "|" + attr.Value.String()
		}
		return true
	})
	return kind
}

// take counts a line and reports whether it is written, and how many of its
// kind were left out before it.
func (f *flood) take(kind string) (write bool, leftOut int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := f.kinds[kind]
	if count == nil {
		if len(f.kinds) >= floodKinds {
			clear(f.kinds)
		}
		count = &floodCount{}
		f.kinds[kind] = count
	}
	if now := f.now(); now.Sub(count.since) >= floodWindow {
		leftOut = count.leftOut
		*count = floodCount{since: now}
	}
	if count.lines >= floodLines {
		count.leftOut++
		return false, 0
	}
	count.lines++
	return true, leftOut
}
