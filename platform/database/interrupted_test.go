package database_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/fault"
	"llmhist/platform/testkit"
)

// endless keeps an engine busy until its context ends.
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000000000) SELECT COUNT(*) FROM n"

func TestAWriteThatIsInterruptedSaysWhy(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := db.Write(ctx, func(tx *gorm.DB) error {
			return tx.Exec(endless).Error
		})
		if !errors.Is(database.Fault(err), context.DeadlineExceeded) {
			t.Errorf("an interrupted write is %v", err)
		}
	})
}

func TestAnInterruptedStatementIsNoInternalError(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := db.Write(t.Context(), func(tx *gorm.DB) error {
			return tx.WithContext(ctx).Exec(endless).Error
		})
		if err := database.Fault(err); !fault.Is(err, fault.Cancelled) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an interrupted statement is %v", err)
		}
	})
}

func TestACallerWhoLeavesSpoilsNoStatementOfOthers(t *testing.T) {
	db := testkit.SQLite(t)
	pool, err := db.Read(t.Context()).DB()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		query := fmt.Sprintf("SELECT COUNT(*) FROM users WHERE id = %d", round) // new in every round
		count := func(ctx context.Context) error { return db.Read(ctx).Exec(query).Error }
		var taken []*gorm.DB // every connection, so that both callers have to wait
		for range pool.Stats().MaxOpenConnections {
			taken = append(taken, db.Read(t.Context()).Begin())
		}
		gone, leave := context.WithCancel(t.Context())
		before := pool.Stats().WaitCount
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() { left <- count(gone) }()
		for pool.Stats().WaitCount == before {
			runtime.Gosched()
		}
		started := make(chan struct{})
		go func() { close(started); stayed <- count(t.Context()) }()
		<-started
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		for _, reader := range taken {
			reader.Rollback()
		}
		if err := <-stayed; err != nil {
			t.Errorf("who stayed got %v", err)
		}
	}
}
