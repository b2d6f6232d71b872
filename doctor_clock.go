package main

import (
	"context"
	"fmt"
	"time"

	"llmhist/platform/blob"
	"llmhist/platform/database"
)

// builtAround is before any release of this program: a clock that says less is
// wrong, and tokens and links would end at wrong times.
var builtAround = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

const setClock = "Set the time of this machine and of that one, for example with NTP: tokens, links and signatures depend on it."

// checkClock looks at the own clock and at that of the object store. The clock
// of the database is compared where the database is open.
func (e *examination) checkClock(ctx context.Context) []finding {
	list := []finding{judgeOwnClock(e.now)}
	if e.cfg.S3.Endpoint != "" {
		list = append(list, compareClock(ctx, "object store", func(ctx context.Context) (time.Time, error) {
			return blob.StoreClock(ctx, e.cfg.S3.Endpoint)
		}))
	}
	return list
}

func judgeOwnClock(now time.Time) finding {
	said := now.UTC().Format(time.RFC3339)
	if now.Before(builtAround) {
		return failed(areaClock, "this machine", "the clock says "+said, setClock)
	}
	return fine(areaClock, "this machine", said)
}

// compareDatabaseClock finds nothing where the database has no clock of its own.
func compareDatabaseClock(ctx context.Context, db *database.DB) []finding {
	if db.Dialect() == database.SQLite {
		return nil
	}
	return []finding{compareClock(ctx, "database", func(ctx context.Context) (time.Time, error) {
		at, _, err := db.Clock(ctx)
		return at, err
	})}
}

// How far two clocks may be apart.
const (
	noticeableSkew = 5 * time.Second
	harmfulSkew    = time.Minute
)

// compareClock asks another machine for its time and takes it for that of the
// middle between question and answer.
func compareClock(ctx context.Context, name string, ask func(context.Context) (time.Time, error)) finding {
	ctx, cancel := context.WithTimeout(ctx, noticeableSkew)
	defer cancel()
	asked := time.Now()
	at, err := ask(ctx)
	took := time.Since(asked)
	if err != nil {
		return skipped(areaClock, name, "its time cannot be had: "+oneLine(err))
	}
	return judgeSkew(name, at.Sub(asked.Add(took/2)))
}

// judgeSkew judges how far another clock is ahead of the own one.
func judgeSkew(name string, ahead time.Duration) finding {
	apart := ahead.Abs().Round(time.Second)
	detail := fmt.Sprintf("its clock is %s ahead of this machine's", apart)
	if ahead < 0 {
		detail = fmt.Sprintf("its clock is %s behind this machine's", apart)
	}
	switch {
	case ahead.Abs() > harmfulSkew:
		return failed(areaClock, name, detail, setClock)
	case ahead.Abs() > noticeableSkew:
		return warned(areaClock, name, detail, setClock)
	default:
		return fine(areaClock, name, "agrees with this machine's within 5 seconds")
	}
}
