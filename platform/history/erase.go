package history

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"llmhist/platform/blob"
	"llmhist/platform/fault"
	"llmhist/platform/uid"
)

const (
	// eraseBatch is how many lines of a daily index go at once.
	eraseBatch = 100
	// maxIndex bounds a daily index that is read whole.
	maxIndex = 64 << 20
)

// EraseIndexes removes the daily indexes of a user. Before a line goes, erase
// has removed the request that it lists; it is called for several at once. What
// was erased before a fault is not listed any more when it is called again.
func (l *Ledger) EraseIndexes(ctx context.Context, userID int64, erase func(ctx context.Context, id string) error) error {
	prefix := fmt.Sprintf("users/%d/%s/history/", userID, l.service)
	for {
		days, err := l.bucket.List(ctx, prefix, "", eraseBatch)
		if err != nil || len(days) == 0 {
			return err
		}
		for _, day := range days {
			if err := l.eraseIndex(ctx, day.Key, erase); err != nil {
				return err
			}
		}
	}
}

func (l *Ledger) eraseIndex(ctx context.Context, key string, erase func(ctx context.Context, id string) error) error {
	data, err := blob.ReadAll(ctx, l.bucket, key, maxIndex)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	for batch := range slices.Chunk(idsIn(data), eraseBatch) {
		if err := eachOf(len(batch), func(i int) error { return erase(ctx, batch[i]) }); err != nil {
			return err
		}
		erased := func(line []byte) bool { return slices.Contains(batch, lineID(line)) }
		if err := l.bucket.RemoveLines(ctx, key, erased); err != nil {
			return err
		}
	}
	return l.bucket.Delete(ctx, key)
}

// idsIn returns the ids in the lines of a daily index, each once; damaged lines
// have none.
func idsIn(index []byte) []string {
	var ids []string
	for line := range bytes.Lines(index) {
		if id := lineID(line); uid.Valid(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
