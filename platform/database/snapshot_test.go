package database_test

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func insertQuota(ctx context.Context, db *database.DB, user int) error {
	return db.Write(ctx, func(tx *gorm.DB) error {
		return tx.Exec("INSERT INTO quota_usage (user_id, day, service, used) VALUES (?, '2026-11-25', 'chat', 1)", user).Error
	})
}

func countQuotas(t *testing.T, db *database.DB) int64 {
	t.Helper()
	var count int64
	if err := db.Read(t.Context()).Table("quota_usage").Count(&count).Error; err != nil {
		t.Fatal(err)
	}
	return count
}

func TestASnapshotSeesOneMomentAndRefusesWrites(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		if err := insertQuota(t.Context(), db, 1); err != nil {
			t.Fatal(err)
		}
		err := db.Snapshot(t.Context(), func(snapshot *database.DB) error {
			for user := 2; user < 5; user++ { // before its first query of this table
				if err := insertQuota(t.Context(), db, user); err != nil {
					return err
				}
			}
			if seen := countQuotas(t, snapshot); seen != 1 {
				t.Errorf("the snapshot sees %d rows, 1 was there", seen)
			}
			if err := insertQuota(t.Context(), snapshot, 9); err == nil {
				t.Error("a snapshot took a write")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if left := countQuotas(t, db); left != 4 {
			t.Errorf("%d rows, want 4", left)
		}
	})
}

func TestAWholeWriteIsVisibleAtItsEndOrNotAtAll(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		broken := errors.New("broken")
		for _, outcome := range []error{broken, nil} {
			err := db.WriteWhole(t.Context(), func(whole *database.DB) error {
				for user := range 3 {
					if err := insertQuota(t.Context(), whole, user); err != nil {
						return err
					}
				}
				if own := countQuotas(t, whole); own != 3 {
					t.Errorf("its own reads see %d rows", own)
				}
				if others := countQuotas(t, db); others != 0 {
					t.Errorf("others see %d rows before its end", others)
				}
				return outcome
			})
			if !errors.Is(err, outcome) {
				t.Fatalf("%v, want %v", err, outcome)
			}
		}
		if left := countQuotas(t, db); left != 3 {
			t.Errorf("%d rows are left, want 3", left)
		}
	})
}
