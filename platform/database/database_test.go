package database_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gorm.io/gorm"

	"llmhist/platform/database"
	"llmhist/platform/testkit"
)

func TestACommitIsVisibleAndAnErrorLeavesNothing(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, db *database.DB) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		insert := func(email string) func(tx *gorm.DB) error {
			return func(tx *gorm.DB) error {
				return tx.Exec("INSERT INTO users (email, password_hash, role, name, created_at, updated_at) VALUES (?,?,?,?,?,?)",
					email, "x", "user", "", at, at).Error
			}
		}
		if err := db.Write(t.Context(), insert("a@example.com")); err != nil {
			t.Fatal(err)
		}
		boom := errors.New("boom")
		err := db.Write(t.Context(), func(tx *gorm.DB) error { return errors.Join(insert("b@example.com")(tx), boom) })
		if !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		if err := db.Write(t.Context(), insert("a@example.com")); !database.IsDuplicate(err) {
			t.Fatalf("a duplicate is %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Write(gone, insert("c@example.com")); !errors.Is(err, context.Canceled) {
			t.Fatalf("a cancelled write is %v", err)
		}
		var row struct {
			Email     string
			CreatedAt time.Time
		}
		if err := db.Read(t.Context()).Table("users").Where("created_at >= ?", at).Take(&row).Error; err != nil {
			t.Fatal(err)
		}
		var count int64
		if err := db.Read(t.Context()).Table("users").Count(&count).Error; err != nil || count != 1 || !row.CreatedAt.Equal(at) {
			t.Fatalf("%d users, %+v, %v", count, row, err)
		}
		err = db.Read(t.Context()).Table("users").Where("email = ?", "nobody").Take(&row).Error
		if !database.IsNotFound(err) {
			t.Fatalf("no row is %v", err)
		}
	})
}
