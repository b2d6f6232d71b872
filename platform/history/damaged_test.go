package history

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
)

func TestARowIsToldOfOnceAndNotMoreThanTheMemoryHolds(t *testing.T) {
	var written bytes.Buffer
	logger, damaged := slog.New(slog.NewTextHandler(&written, nil)), &Damaged{}
	lines := func() int { return strings.Count(written.String(), "\n") }
	damaged.Tell(t.Context(), logger, "whole", nil)
	if lines() != 0 {
		t.Errorf("of a row without damage: %s", &written)
	}
	for range 3 {
		damaged.Tell(t.Context(), logger, "first", errors.New("the cause"))
	}
	if lines() != 1 || !strings.Contains(written.String(), "id=first") || !strings.Contains(written.String(), "the cause") {
		t.Errorf("of one row, listed three times: %s", &written)
	}
	for i := range 2 * maxTold {
		damaged.Tell(t.Context(), logger, strconv.Itoa(i), errors.New("the cause"))
	}
	if lines() != maxTold || len(damaged.told) != maxTold {
		t.Errorf("of very many rows: %d lines, %d remembered", lines(), len(damaged.told))
	}
}
