package database

import (
	"context"
	"log/slog"
	"time"

	gormlogger "gorm.io/gorm/logger"
)

// slowQuery is when a statement is worth a line in the log.
const slowQuery = 500 * time.Millisecond

// quietLogger replaces GORM's logger, which prints SQL together with its
// values: prompts, e-mail addresses and hashes. It says only that a statement
// was slow; errors, of slowness too, are returned, and logged once where they
// end.
type quietLogger struct{ logger *slog.Logger }

func (l quietLogger) LogMode(gormlogger.LogLevel) gormlogger.Interface { return l }
func (l quietLogger) Info(context.Context, string, ...any)             {}
func (l quietLogger) Warn(context.Context, string, ...any)             {}
func (l quietLogger) Error(context.Context, string, ...any)            {}

// Trace logs how long a slow statement took, never what it was about.
func (l quietLogger) Trace(ctx context.Context, begin time.Time, fc func() (string, int64), err error) {
	if took := time.Since(begin); took > slowQuery && err == nil {
		_, rows := fc()
		l.logger.WarnContext(ctx, "slow database statement", "took_ms", took.Milliseconds(), "rows", rows)
	}
}
