package history_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"llmhist/platform/history"
	"llmhist/platform/testkit"
	"llmhist/platform/uid"
)

func TestAnErasureThatBrokeOffGoesOnWhereItWas(t *testing.T) {
	bucket := testkit.Bucket(t, "b")
	ledger := history.New(bucket, "image")
	ada, bob, day := int64(1), int64(11), time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	var ids []string
	for i := range 250 {
		ids = append(ids, uid.New(day.Add(time.Duration(i)*time.Millisecond)))
	}
	ids = append(ids, uid.New(day.AddDate(0, 0, 1)))
	for _, err := range []error{
		ledger.AppendIndex(t.Context(), &bob, uid.New(day)),
		bucket.AppendLine(t.Context(), ledger.IndexKey(ada, day), []byte("not a line")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range append(ids, ids[0]) {
		if err := ledger.AppendIndex(t.Context(), &ada, id); err != nil {
			t.Fatal(err)
		}
	}

	var mu sync.Mutex
	var erased []string
	away := errors.New("the store is away")
	erase := func(broken string) func(context.Context, string) error {
		erased = nil
		return func(_ context.Context, id string) error {
			if id == broken {
				return away
			}
			mu.Lock()
			defer mu.Unlock()
			erased = append(erased, id)
			return nil
		}
	}
	if err := ledger.EraseIndexes(t.Context(), ada, erase(ids[170])); !errors.Is(err, away) {
		t.Fatal(err)
	}
	if err := ledger.EraseIndexes(t.Context(), ada, erase("")); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(erased); !slices.Equal(erased, ids[100:]) {
		t.Errorf("it erased %d of the last %d", len(erased), len(ids)-100)
	}
	if left := keys(t, bucket); !slices.Equal(left, []string{ledger.IndexKey(bob, day)}) {
		t.Errorf("left %v", left)
	}
}
