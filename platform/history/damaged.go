package history

import (
	"context"
	"log/slog"
	"sync"
)

// maxTold bounds the memory of Damaged. Who has as many damaged rows has been
// told enough to run a check, which finds all of them.
const maxTold = 100

// Damaged says of rows that cannot be read that they are damaged, once each,
// however often they are listed. The zero Damaged has said nothing.
type Damaged struct {
	mu   sync.Mutex
	told map[string]bool
}

// Tell writes why the row of a request cannot be read, unless it did before or
// did of maxTold others. A nil cause is no damage.
func (d *Damaged) Tell(ctx context.Context, logger *slog.Logger, id string, cause error) {
	if cause == nil || !d.isNew(id) {
		return
	}
	logger.ErrorContext(ctx, "a row is listed in part, because the rest of it cannot be read: see llmhist check", "id", id, "cause", cause)
}

func (d *Damaged) isNew(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[id] || len(d.told) >= maxTold {
		return false
	}
	if d.told == nil {
		d.told = map[string]bool{}
	}
	d.told[id] = true
	return true
}
