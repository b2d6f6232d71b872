// Package logging makes the one logger of the process and the types that keep
// secrets out of it.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"llmhist/platform/identity"
)

// New returns a logger that writes to w. level is debug, info, warn or error;
// format is json, text, or "" for text on a terminal and JSON elsewhere. The id
// of the request and of the user are added to every line of a request. Of
// warnings and errors of one kind at most 60 a minute are written.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("LOG_LEVEL must be debug, info, warn or error, not %q", level)
	}
	options := &slog.HandlerOptions{Level: threshold}
	if format == "" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	switch strings.ToLower(format) {
	case "json":
		return slog.New(contextHandler{newFloodHandler(slog.NewJSONHandler(w, options))}), nil
	case "text":
		return slog.New(contextHandler{newFloodHandler(slog.NewTextHandler(w, options))}), nil
	default:
		return nil, fmt.Errorf("LOG_FORMAT must be json or text, not %q", format)
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// contextHandler adds what the context knows about the request.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := identity.RequestID(ctx); id != "" {
		record.AddAttrs(slog.String("request_id", id))
	}
	if id := identity.From(ctx); !id.Anonymous() {
		record.AddAttrs(slog.Int64("user_id", id.UserID))
	}
	return h.Handler.Handle(ctx, record)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
