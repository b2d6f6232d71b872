package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAFloodOfOneKindIsCutAndCounted(t *testing.T) {
	var out bytes.Buffer
	handler := newFloodHandler(slog.NewTextHandler(&out, nil))
	now := time.Now()
	handler.flood.now = func() time.Time { return now }
	logger := slog.New(handler)
	fail := func(code string) {
		logger.With("a", 1).Error("request failed", "code", code, "request_id", out.Len())
	}
	for range 1000 {
		fail("database_unavailable")
		logger.Info("request")
	}
	fail("storage_unavailable")
	count := func(text string) int { return strings.Count(out.String(), text) }
	if count("database_unavailable") != floodLines || count("storage_unavailable") != 1 || count("msg=request ") != 0 || count("msg=request\n") != 1000 {
		t.Errorf("%d of one kind, %d of another, %d requests", count("database_unavailable"), count("storage_unavailable"), count("msg=request\n"))
	}
	if count("left_out") != 0 {
		t.Error("it speaks of lines that were not left out yet")
	}
	now = now.Add(floodWindow)
	fail("database_unavailable")
	if count(fmt.Sprintf("left_out=%d", 1000-floodLines)) != 1 {
		t.Errorf("the next line does not say how many were left out: %s", out.String()[out.Len()-200:])
	}
	for i := range 3 * floodKinds {
		fail(fmt.Sprint(i))
	}
	if len(handler.flood.kinds) > floodKinds {
		t.Errorf("%d kinds are remembered", len(handler.flood.kinds))
	}
}
